// SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104) and comparison in constant time, over OpenSSL.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/secret.h"

namespace deepmoat::crypto {

using Digest = std::array<char, 32>;

[[nodiscard]] inline std::string_view view(const Digest& digest) {
  return {digest.data(), digest.size()};
}

[[nodiscard]] Digest sha256(std::string_view bytes);
// SHA-256 of the parts, one after the other, without copying them together.
[[nodiscard]] Digest sha256(std::initializer_list<std::string_view> parts);

// SHA-256 of what comes piece by piece.
class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256();

  void update(std::string_view bytes);
  // Ends it: neither may be called afterwards.
  [[nodiscard]] Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] Digest hmac_sha256(const Secret& key, std::string_view bytes);

// Compares every byte whatever it finds (CRYPTO_memcmp); false at once for unequal lengths.
[[nodiscard]] bool equal_constant_time(std::string_view a, std::string_view b);

}  // namespace deepmoat::crypto
