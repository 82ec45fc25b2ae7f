// SM2 signatures (GB/T 32918.2, GM/T 0009) with SM3 and the default identity "1234567812345678",
// over Botan: beside Ed25519 where Chinese algorithms are required. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

inline constexpr std::size_t kSm2PublicKeyBytes = 65;  // 04 x y
inline constexpr std::size_t kSm2SignatureBytes = 64;  // r s, big-endian

class Sm2Key {
 public:
  // Equal seeds give equal keys. Code::invalid_argument unless the seed has 32 bytes.
  static Result<Sm2Key> from_seed(const Secret& seed);
  Sm2Key(Sm2Key&&) noexcept;
  Sm2Key& operator=(Sm2Key&&) noexcept;
  ~Sm2Key();

  [[nodiscard]] const std::string& public_key() const { return public_key_; }
  // Different at each call.
  [[nodiscard]] Result<std::string> sign(std::string_view message) const;

 private:
  struct Key;
  explicit Sm2Key(std::unique_ptr<Key> key);

  std::unique_ptr<Key> key_;
  std::string public_key_;
};

// False for anything but a good signature: also for keys and signatures of another size.
[[nodiscard]] bool verify_sm2(std::string_view public_key, std::string_view message,
                              std::string_view signature);

}  // namespace deepmoat::crypto
