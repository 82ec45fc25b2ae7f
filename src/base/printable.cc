#include "base/printable.h"

#include <algorithm>
#include <cstdint>

namespace deepmoat {

namespace {

struct Character {
  std::size_t bytes = 1;
  bool printable = false;
};

bool is_control(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069);
}

// The first of a text that is not empty. A byte that begins no character (RFC 3629) is one.
Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned first = byte(0);
  if (first < 0x80) {
    return {.bytes = 1, .printable = !is_control(first)};
  }
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) {
    return {};
  }
  std::uint32_t code = first & (0x7fU >> bytes);
  for (std::size_t at = 1; at < bytes; ++at) {
    if ((byte(at) & 0xc0U) != 0x80) {
      return {};
    }
    code = code << 6U | (byte(at) & 0x3fU);
  }
  const bool shortest = bytes == 2 || code >= (bytes == 3 ? 0x800U : 0x10000U);
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (!shortest || surrogate || code > 0x10ffff) {
    return {};
  }
  return {.bytes = bytes, .printable = !is_control(code)};
}

}  // namespace

bool is_printable(std::string_view text) {
  while (!text.empty()) {
    const Character character = first_of(text);
    if (!character.printable) {
      return false;
    }
    text.remove_prefix(character.bytes);
  }
  return true;
}

std::string printable(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Character character = first_of(text);
    if (character.printable) {
      shown += text.substr(0, character.bytes);
    } else {
      shown += '?';
    }
    text.remove_prefix(character.bytes);
  }
  return shown;
}

}  // namespace deepmoat
