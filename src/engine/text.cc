#include "engine/text.h"

#include <algorithm>
#include <cstdint>

namespace deepmoat::engine {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Character {
  std::size_t bytes = 0;  // 0: more bytes are needed
  bool valid = true;
};

// The character at the start of `text` (RFC 3629: no overlong forms, no surrogates, below
// 0x110000).
Character first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) {
    return {1, true};
  }
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length == 0) {
    return {1, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) {
      return {0, true};
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    unsigned low = 0x80;
    unsigned high = 0xBF;
    if (i == 1) {
      low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : low;
      high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : high;
    }
    if (byte < low || byte > high) {
      return {i, false};
    }
  }
  return {length, true};
}

}  // namespace

std::string Utf8Stream::feed(std::string_view bytes) {
  pending_.append(bytes);
  std::string_view rest = pending_;
  std::string out;
  while (!rest.empty()) {
    const Character character = first_character(rest);
    if (character.bytes == 0) {
      break;
    }
    out.append(character.valid ? rest.substr(0, character.bytes) : kReplacement);
    rest.remove_prefix(character.bytes);
  }
  pending_ = std::string(rest);
  return out;
}

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

StopMatcher::Out StopMatcher::feed(std::string_view text) {
  if (stops_.empty()) {
    return {.text = std::string(text)};
  }
  held_.append(text);
  std::size_t first = std::string::npos;
  const std::string* met = nullptr;
  for (const std::string& stop : stops_) {
    const std::size_t at = held_.find(stop);
    if (at < first) {
      first = at;
      met = &stop;
    }
  }
  if (met != nullptr) {
    held_.resize(first);
    return {std::move(held_), true, *met};
  }
  std::size_t keep = 0;  // the longest end of the text that begins a stop text
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.ends_with(std::string_view(stop).substr(0, n))) {
        keep = n;
      }
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return {.text = std::move(out)};
}

std::string StopMatcher::finish() {
  return std::move(held_);
}

}  // namespace deepmoat::engine
