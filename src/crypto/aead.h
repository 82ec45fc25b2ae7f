// Authenticated encryption: AES-256-GCM (NIST SP 800-38D) over OpenSSL's EVP. Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

inline constexpr std::size_t kAeadKeyBytes = 32;
inline constexpr std::size_t kAeadNonceBytes = 12;
inline constexpr std::size_t kAeadTagBytes = 16;

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
