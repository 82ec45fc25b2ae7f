// Keys and row MACs under the root secrets. Immutable; thread-safe.
#include "identity/key_authority.h"

#include <array>
#include <cstdint>
#include <span>

#include "base/hex.h"
#include "base/random.h"

namespace deepmoat::identity {

namespace {

constexpr std::size_t kKeyIdRandomBytes = 12;
constexpr std::size_t kSaltBytes = kKeySaltDigits / 2;
constexpr std::size_t kMacBytes = kKeyMacDigits / 2;
constexpr std::string_view kRowPurpose = "deepmoat key row 1";
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

// A length before every field, so that two rows never give the same bytes.
void put(std::string& bytes, std::string_view field) {
  const auto size = static_cast<std::uint32_t>(field.size());
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(size >> shift);
  }
  bytes += field;
}

void put(std::string& bytes, UnixMillis value) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(static_cast<std::uint64_t>(value) >> shift);
  }
}

// What says which key a key follows. Each field by its name, and only where it says something: a
// row that was written before these columns existed keeps its MAC, and gets another as soon as
// somebody fills one in.
std::string succession_bytes(const store::KeyRow& row) {
  std::string bytes;
  if (!row.predecessor.empty()) {
    put(bytes, "predecessor");
    put(bytes, row.predecessor);
  }
  if (!row.lineage.empty()) {
    put(bytes, "lineage");
    put(bytes, row.lineage);
  }
  if (row.overlap_until_ms != 0) {
    put(bytes, "overlap_until_ms");
    put(bytes, row.overlap_until_ms);
  }
  return bytes;
}

}  // namespace

KeyAuthority::KeyAuthority(const crypto::RootSecrets& secrets)
    : signing_(secrets.signing),
      pepper_(secrets.pepper),
      rows_(crypto::derive_secret(secrets.signing, kRowPurpose)) {}

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
  std::string bytes;
  put(bytes, row.key_id);
  put(bytes, row.lookup);
  put(bytes, row.client_id);
  put(bytes, row.kind);
  put(bytes, row.role);
  put(bytes, row.tenant);
  put(bytes, row.label);
  put(bytes, row.created_ms);
  put(bytes, row.expires_ms);
  put(bytes, row.revoked_ms);
  put(bytes, row.revoke_reason);
  return to_hex(crypto::view(rows_({bytes, succession_bytes(row)})));
}

bool KeyAuthority::row_intact(const store::KeyRow& row) const {
  return crypto::equal_constant_time(row.row_mac, row_mac(row));
}

}  // namespace deepmoat::identity
