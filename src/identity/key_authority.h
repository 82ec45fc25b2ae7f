// Everything about keys that needs the root secrets: make one, find its row, prove it, seal a row.
// Immutable and thread-safe; no allocation in check() and lookup().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "crypto/digest.h"
#include "crypto/hmac.h"
#include "crypto/key_file.h"
#include "identity/api_key.h"
#include "store/database.h"

namespace deepmoat::identity {

inline constexpr std::int64_t kRowMacVersion = 2;  // of rows that are written now
inline constexpr std::string_view kKeyIdPrefix = "key_";

class KeyAuthority {
 public:
  explicit KeyAuthority(const crypto::RootSecrets& secrets);

  // A new key for `client_id`, made at `created_ms` (its whole second counts), shown form.
  // Code::unavailable without entropy.
  [[nodiscard]] Result<Secret> make_key(KeyKind kind, std::string_view client_id,
                                        UnixMillis created_ms) const;

  // A new name for a key: random, and no part of the key. Code::unavailable without entropy.
  [[nodiscard]] static Result<std::string> make_key_id();

  // HMAC(pepper, shown form): the index of a key's row.
  [[nodiscard]] crypto::Digest lookup(std::string_view shown) const;

  // Recomputes the MAC from the presented salt and the row's client and second of creation, and
  // compares in constant time.
  [[nodiscard]] bool check(std::string_view mac, std::string_view salt, std::string_view client_id,
                           UnixMillis created_ms) const;

  // 64 hex digits over every other field of the row, in the form of its mac_version.
  [[nodiscard]] std::string row_mac(const store::KeyRow& row) const;
  // Sets the MAC, in the newest form.
  void seal(store::KeyRow& row) const;
  // False for a row that was written without the signing secret: forged, edited, or copied.
  [[nodiscard]] bool row_intact(const store::KeyRow& row) const;

 private:
  crypto::HmacSha256 signing_;
  crypto::HmacSha256 pepper_;
  crypto::HmacSha256 rows_1_;
  crypto::HmacSha256 rows_2_;
};

}  // namespace deepmoat::identity
