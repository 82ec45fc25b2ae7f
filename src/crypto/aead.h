// Authenticated encryption in Galois/Counter Mode (NIST SP 800-38D): AES-256 over OpenSSL's EVP,
// and SM4 (GB/T 32907, RFC 8998) over Botan, since Debian's OpenSSL has no SM4-GCM.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

inline constexpr std::size_t kAeadKeyBytes = 32;  // of AES-256
inline constexpr std::size_t kSm4KeyBytes = 16;
inline constexpr std::size_t kAeadNonceBytes = 12;
inline constexpr std::size_t kAeadTagBytes = 16;

// The numbers stand in stored bytes.
enum class AeadAlgorithm : std::uint8_t { sm4_gcm = 1, aes_256_gcm = 2 };

[[nodiscard]] std::string_view aead_name(AeadAlgorithm algorithm);  // "SM4-GCM", "AES-256-GCM"
[[nodiscard]] std::size_t aead_key_bytes(AeadAlgorithm algorithm);

// One key, set once and used for many messages: setting an SM4 key costs more than a short message.
// One thread at a time. The key schedule is wiped at the end.
class Aead {
 public:
  // Code::invalid_argument for a key of another size than aead_key_bytes().
  static Result<std::unique_ptr<Aead>> make(AeadAlgorithm algorithm, const Secret& key);

  Aead() = default;
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;
  virtual ~Aead() = default;

  // Returns ciphertext | tag. The caller never uses a nonce of 12 bytes twice.
  [[nodiscard]] virtual Result<std::string> seal(std::string_view nonce, std::string_view plain,
                                                 std::string_view associated) = 0;
  // `sealed` is ciphertext | tag. Code::corrupt when anything is not as in the sealing.
  [[nodiscard]] virtual Result<Secret> open(std::string_view nonce, std::string_view sealed,
                                            std::string_view associated) = 0;
};

// AES-256-GCM with a key for this message alone. Thread-safe.
// Returns nonce | ciphertext | tag. The nonce is random, so one key seals at most 2^32 messages.
// `associated` is authenticated, not stored: the opener must present the same bytes.
// Code::invalid_argument for a key of another size, Code::unavailable without entropy.
[[nodiscard]] Result<std::string> aead_seal(const Secret& key, std::string_view plain,
                                            std::string_view associated);

// Undoes aead_seal. Code::corrupt when key, bytes or `associated` are not those of the sealing.
[[nodiscard]] Result<Secret> aead_open(const Secret& key, std::string_view sealed,
                                       std::string_view associated);

// Seals under a nonce that the caller chose; for known-answer tests.
[[nodiscard]] Result<std::string> aead_seal_with_nonce(const Secret& key, std::string_view nonce,
                                                       std::string_view plain,
                                                       std::string_view associated);

}  // namespace deepmoat::crypto
