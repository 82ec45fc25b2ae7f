// Keys and row MACs under the root secrets. Immutable; thread-safe.
#include "identity/key_authority.h"

#include <array>
#include <cstdint>
#include <span>

#include "base/hex.h"
#include "base/random.h"
#include "crypto/bytes.h"

namespace deepmoat::identity {

namespace {

constexpr std::size_t kKeyIdRandomBytes = 12;
constexpr std::size_t kSaltBytes = kKeySaltDigits / 2;
constexpr std::size_t kMacBytes = kKeyMacDigits / 2;
// A version has a secret of its own: a MAC of one says nothing about a row of another.
constexpr std::string_view kRowPurpose1 = "deepmoat key row 1";
constexpr std::string_view kRowPurpose2 = "deepmoat key row 2";
constexpr std::string_view kHexDigits = "0123456789abcdef";

// Ten decimal digits: with client_id before and the salt's 32 digits after it, the concatenation
// that is MACed reads one way only. Good until the year 2286.
std::array<char, 10> seconds_of(UnixMillis at_ms) {
  std::array<char, 10> digits;
  auto seconds = static_cast<std::uint64_t>(at_ms / 1000);
  for (std::size_t i = digits.size(); i-- > 0;) {
    digits[i] = static_cast<char>('0' + seconds % 10);
    seconds /= 10;
  }
  return digits;
}

std::array<char, kKeyMacDigits> mac_digits(const crypto::HmacSha256& signing,
                                           std::string_view client_id, UnixMillis created_ms,
                                           std::string_view salt) {
  const std::array<char, 10> seconds = seconds_of(created_ms);
  const crypto::Digest mac = signing({client_id, {seconds.data(), seconds.size()}, salt});
  std::array<char, kKeyMacDigits> digits;
  for (std::size_t i = 0; i < kMacBytes; ++i) {
    const auto byte = static_cast<unsigned char>(mac[i]);
    digits[2 * i] = kHexDigits[byte >> 4];
    digits[2 * i + 1] = kHexDigits[byte & 0xf];
  }
  return digits;
}

// What version 1 covers.
std::string first_bytes(const store::KeyRow& row) {
  std::string bytes;
  crypto::put_text(bytes, row.key_id);
  crypto::put_text(bytes, row.lookup);
  crypto::put_text(bytes, row.client_id);
  crypto::put_text(bytes, row.kind);
  crypto::put_text(bytes, row.role);
  crypto::put_text(bytes, row.tenant);
  crypto::put_text(bytes, row.label);
  crypto::put_number(bytes, row.created_ms);
  crypto::put_number(bytes, row.expires_ms);
  crypto::put_number(bytes, row.revoked_ms);
  crypto::put_text(bytes, row.revoke_reason);
  return bytes;
}

// What version 2 covers beside that.
std::string attribute_bytes(const store::KeyRow& row) {
  std::string bytes;
  crypto::put_text(bytes, row.models);
  crypto::put_text(bytes, row.adapter);
  crypto::put_number(bytes, std::int64_t{row.adapter_only ? 1 : 0});
  crypto::put_text(bytes, row.ip_ranges);
  crypto::put_text(bytes, row.data_class);
  crypto::put_text(bytes, row.scopes);
  crypto::put_number(bytes, row.requests_per_minute);
  crypto::put_number(bytes, row.tokens_per_minute);
  crypto::put_number(bytes, row.concurrent_calls);
  crypto::put_text(bytes, row.labels);
  crypto::put_text(bytes, row.predecessor);
  crypto::put_text(bytes, row.lineage);
  crypto::put_number(bytes, row.overlap_until_ms);
  return bytes;
}

// Of a row that is bound to nothing and follows no other.
const std::string& no_attribute_bytes() {
  static const std::string bytes = attribute_bytes(store::KeyRow());
  return bytes;
}

}  // namespace

KeyAuthority::KeyAuthority(const crypto::RootSecrets& secrets)
    : signing_(secrets.signing),
      pepper_(secrets.pepper),
      rows_1_(crypto::derive_secret(secrets.signing, kRowPurpose1)),
      rows_2_(crypto::derive_secret(secrets.signing, kRowPurpose2)) {}

Result<Secret> KeyAuthority::make_key(KeyKind kind, std::string_view client_id,
                                      UnixMillis created_ms) const {
  CHECK_OK(check_name("client_id", client_id));
  constexpr UnixMillis kTenDigitsFrom = 1'000'000'000'000;    // 2001
  constexpr UnixMillis kTenDigitsUntil = 10'000'000'000'000;  // 2286
  if (created_ms < kTenDigitsFrom || created_ms >= kTenDigitsUntil) {
    return fail(Code::unavailable, "the clock of this machine is wrong: set the date first");
  }
  std::array<std::byte, kSaltBytes> salt;
  CHECK_OK(fill_random(salt));
  const Secret salt_hex(to_hex({reinterpret_cast<const char*>(salt.data()), salt.size()}));
  wipe(salt);
  std::array<char, kKeyMacDigits> mac =
      mac_digits(signing_, client_id, created_ms, salt_hex.reveal());
  std::string body;
  body.reserve(kKeyBodyDigits);
  body.append(mac.data(), mac.size());
  body += salt_hex.reveal();
  const Secret whole(std::move(body));
  wipe(std::as_writable_bytes(std::span(mac)));
  return compose_key(kind, whole.reveal());
}

Result<std::string> KeyAuthority::make_key_id() {
  TRY(const std::string random, random_bytes(kKeyIdRandomBytes));
  return std::string(kKeyIdPrefix) + to_hex(random);
}

crypto::Digest KeyAuthority::lookup(std::string_view shown) const {
  return pepper_({shown});
}

bool KeyAuthority::check(std::string_view mac, std::string_view salt, std::string_view client_id,
                         UnixMillis created_ms) const {
  const std::array<char, kKeyMacDigits> right = mac_digits(signing_, client_id, created_ms, salt);
  return crypto::equal_constant_time(mac, {right.data(), right.size()});
}

std::string KeyAuthority::row_mac(const store::KeyRow& row) const {
  const std::string first = first_bytes(row);
  if (row.mac_version == 1) {
    return to_hex(crypto::view(rows_1_({first})));
  }
  return to_hex(crypto::view(rows_2_({first, attribute_bytes(row)})));
}

void KeyAuthority::seal(store::KeyRow& row) const {
  row.mac_version = kRowMacVersion;
  row.row_mac = row_mac(row);
}

bool KeyAuthority::row_intact(const store::KeyRow& row) const {
  // Version 1 does not see the attributes, so such a row may have none: somebody put them there.
  const bool version_fits = row.mac_version == kRowMacVersion ||
                            (row.mac_version == 1 && attribute_bytes(row) == no_attribute_bytes());
  return crypto::equal_constant_time(row.row_mac, row_mac(row)) && version_fits;
}

}  // namespace deepmoat::identity
