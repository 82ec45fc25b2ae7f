// The form of an API key: what can be said about one without any secret. Pure; thread-safe.
// Bytes in docs/formats/keys.md:
//   dmk_<kind>_<32 hex MAC><32 hex salt><6 base62 digits of CRC-32 over all before them>
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "base/strong.h"
#include "identity/roles.h"

namespace deepmoat::identity {

// Says to a person, and to a scanner for leaked keys, what a key is for. Rights come from the row.
enum class KeyKind : std::uint8_t { live, ops, adm, aud };

[[nodiscard]] std::string_view kind_name(KeyKind kind);  // "live", "ops", "adm", "aud"
[[nodiscard]] std::optional<KeyKind> parse_kind(std::string_view name);
[[nodiscard]] KeyKind kind_of(Role role);

inline constexpr std::size_t kKeyMacDigits = 32;
inline constexpr std::size_t kKeySaltDigits = 32;
inline constexpr std::size_t kKeyBodyDigits = kKeyMacDigits + kKeySaltDigits;
inline constexpr std::size_t kKeyChecksumDigits = 6;
inline constexpr std::size_t kKeyBytesMax = 4 + 4 + 1 + kKeyBodyDigits + kKeyChecksumDigits;

// A key that passed the offline check; the views point into what was parsed.
struct ParsedKey {
  std::string_view shown;       // the whole
  std::optional<KeyKind> kind;  // none: the bare form of 64 digits, without a checksum
  std::string_view mac;         // 32 hex digits
  std::string_view salt;        // 32 hex digits
};

// The offline check: length, alphabet, kind, checksum. `accept_bare` admits 64 hex digits alone,
// for clients that were built for the first form of these keys.
[[nodiscard]] std::optional<ParsedKey> parse_key(std::string_view shown, bool accept_bare = false);

// Puts the shown form together. `body` is the 64 hex digits.
[[nodiscard]] Secret compose_key(KeyKind kind, std::string_view body);

// `[a-z0-9][a-z0-9-]{0,62}`; holds for tenants too. The message names `field`.
[[nodiscard]] Result<> check_name(std::string_view field, std::string_view name);

}  // namespace deepmoat::identity
