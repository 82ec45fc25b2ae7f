// Parsing and composing the shown form of a key. Pure; thread-safe.
#include "identity/api_key.h"

#include <algorithm>
#include <array>

#include "crypto/crc32.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kPrefix = "dmk_";
constexpr std::string_view kBase62 =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::array kKinds{KeyKind::live, KeyKind::ops, KeyKind::adm, KeyKind::aud};
constexpr std::size_t kNameBytesMax = 63;

using Checksum = std::array<char, kKeyChecksumDigits>;

// Most significant digit first, always six: 62^6 > 2^32.
Checksum checksum_of(std::string_view bytes) {
  std::uint32_t value = crypto::crc32(bytes);
  Checksum digits;
  for (std::size_t i = digits.size(); i-- > 0;) {
    digits[i] = kBase62[value % kBase62.size()];
    value /= static_cast<std::uint32_t>(kBase62.size());
  }
  return digits;
}

bool is_lower_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

ParsedKey split(std::string_view shown, std::optional<KeyKind> kind, std::string_view body) {
  return {.shown = shown,
          .kind = kind,
          .mac = body.substr(0, kKeyMacDigits),
          .salt = body.substr(kKeyMacDigits)};
}

}  // namespace

std::string_view kind_name(KeyKind kind) {
  switch (kind) {
    case KeyKind::live:
      return "live";
    case KeyKind::ops:
      return "ops";
    case KeyKind::adm:
      return "adm";
    case KeyKind::aud:
      return "aud";
  }
  return "unknown";
}

std::optional<KeyKind> parse_kind(std::string_view name) {
  for (const KeyKind kind : kKinds) {
    if (name == kind_name(kind)) {
      return kind;
    }
  }
  return std::nullopt;
}

KeyKind kind_of(Role role) {
  switch (role) {
    case Role::user:
      return KeyKind::live;
    case Role::operator_:
      return KeyKind::ops;
    case Role::admin:
      return KeyKind::adm;
    case Role::auditor:
      return KeyKind::aud;
  }
  return KeyKind::live;
}

std::optional<ParsedKey> parse_key(std::string_view shown, bool accept_bare) {
  if (shown.size() == kKeyBodyDigits) {
    if (!accept_bare || !is_lower_hex(shown)) {
      return std::nullopt;
    }
    return split(shown, std::nullopt, shown);
  }
  if (shown.size() > kKeyBytesMax || !shown.starts_with(kPrefix)) {
    return std::nullopt;
  }
  const std::size_t kind_end = shown.find('_', kPrefix.size());
  if (kind_end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::optional<KeyKind> kind =
      parse_kind(shown.substr(kPrefix.size(), kind_end - kPrefix.size()));
  const std::string_view rest = shown.substr(kind_end + 1);
  if (!kind || rest.size() != kKeyBodyDigits + kKeyChecksumDigits) {
    return std::nullopt;
  }
  const std::string_view body = rest.substr(0, kKeyBodyDigits);
  const Checksum checksum = checksum_of(shown.substr(0, shown.size() - kKeyChecksumDigits));
  if (!is_lower_hex(body) ||
      rest.substr(kKeyBodyDigits) != std::string_view(checksum.data(), checksum.size())) {
    return std::nullopt;
  }
  return split(shown, kind, body);
}

Secret compose_key(KeyKind kind, std::string_view body) {
  std::string shown;
  shown.reserve(kKeyBytesMax);  // no reallocation, so no copy left behind unwiped
  shown += kPrefix;
  shown += kind_name(kind);
  shown += '_';
  shown += body;
  const Checksum checksum = checksum_of(shown);
  shown.append(checksum.data(), checksum.size());
  return Secret(std::move(shown));
}

Result<> check_name(std::string_view field, std::string_view name) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  const bool good =
      !name.empty() && name.size() <= kNameBytesMax && letter_or_digit(name.front()) &&
      std::ranges::all_of(name, [&](char c) { return letter_or_digit(c) || c == '-'; });
  if (!good) {
    return fail(Code::invalid_argument,
                std::string(field) + ": must be 1 to 63 of a-z, 0-9 and -, not starting with -");
  }
  return {};
}

}  // namespace deepmoat::identity
