// HMAC-SHA-256 (RFC 2104) with the key's two blocks hashed once, for the path of every call:
// a short message then costs two SHA-256 blocks and no allocation.
#pragma once

#include <openssl/sha.h>

#include <initializer_list>
#include <string_view>

#include "base/secret.h"
#include "crypto/digest.h"

namespace deepmoat::crypto {

// Immutable after construction and so thread-safe. Holds key material, wiped at the end.
class HmacSha256 {
 public:
  explicit HmacSha256(const Secret& key);
  HmacSha256(const HmacSha256&) = delete;
  HmacSha256& operator=(const HmacSha256&) = delete;
  ~HmacSha256();

  // The MAC of the parts, one after the other.
  [[nodiscard]] Digest operator()(std::initializer_list<std::string_view> parts) const;

 private:
  SHA256_CTX inner_{};
  SHA256_CTX outer_{};
};

// HKDF-Expand of RFC 5869 with one block of output: a 32-byte secret for `purpose`. Purposes must
// differ; the result tells nothing about `root` or about the secrets of other purposes.
[[nodiscard]] Secret derive_secret(const Secret& root, std::string_view purpose);

}  // namespace deepmoat::crypto
