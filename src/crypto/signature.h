// Ed25519 signatures (RFC 8032) over OpenSSL: for records that others must be able to check
// without any secret of ours. Thread-safe.
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

inline constexpr std::size_t kSigningSeedBytes = 32;
inline constexpr std::size_t kPublicKeyBytes = 32;
inline constexpr std::size_t kSignatureBytes = 64;

class SigningKey {
 public:
  // The key that RFC 8032 makes of a 32-byte seed; equal seeds give equal keys.
  // Code::invalid_argument for another size.
  static Result<SigningKey> from_seed(const Secret& seed);

  // 32 bytes.
  [[nodiscard]] const std::string& public_key() const { return public_key_; }
  // 64 bytes; the same message always gives the same ones.
  [[nodiscard]] Result<std::string> sign(std::string_view message) const;

 private:
  struct FreeKey {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  std::unique_ptr<EVP_PKEY, FreeKey> key_;
  std::string public_key_;
};

// False for anything but a good signature: also for keys and signatures of another size.
[[nodiscard]] bool verify_signature(std::string_view public_key, std::string_view message,
                                    std::string_view signature);

// A public key as every tool reads it: SubjectPublicKeyInfo in PEM (RFC 8410), and back.
// Code::corrupt for anything that is not one Ed25519 key.
[[nodiscard]] Result<std::string> public_key_to_pem(std::string_view public_key);
[[nodiscard]] Result<std::string> public_key_from_pem(std::string_view pem);

// Names a public key in a few characters: the first 16 hex digits of its SHA-256.
[[nodiscard]] std::string public_key_id(std::string_view public_key);

}  // namespace deepmoat::crypto
