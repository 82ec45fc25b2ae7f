// SHA-256 (FIPS 180-4) and SM3 (GB/T 32905) over OpenSSL, and the two kinds of hashes of an
// RFC 6962 tree.
#pragma once

#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string_view>

namespace deepmoat::verifier {

using Digest = std::array<char, 32>;

[[nodiscard]] inline std::string_view view(const Digest& digest) {
  return {digest.data(), digest.size()};
}

// Any thread.
[[nodiscard]] Digest sha256(std::string_view bytes);

// SHA-256 of bytes that come in pieces. One thread at a time.
class RunningSha256 {
 public:
  RunningSha256();
  ~RunningSha256();
  RunningSha256(const RunningSha256&) = delete;
  RunningSha256& operator=(const RunningSha256&) = delete;
  void add(std::string_view bytes);
  [[nodiscard]] Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

enum class Algorithm : std::uint8_t { sha256, sm3 };

// The hashes of one tree. Keeps OpenSSL's context for SM3, so one thread at a time.
class TreeHasher {
 public:
  explicit TreeHasher(Algorithm algorithm);
  ~TreeHasher();
  TreeHasher(TreeHasher&&) noexcept;
  TreeHasher& operator=(TreeHasher&&) noexcept;

  // H(00 || data), H(01 || left || right) and H of nothing: RFC 6962, 2.1.
  [[nodiscard]] Digest leaf(std::string_view data) const;
  [[nodiscard]] Digest node(const Digest& left, const Digest& right) const;
  [[nodiscard]] Digest nothing() const;

 private:
  [[nodiscard]] Digest hash(std::initializer_list<std::string_view> parts) const;

  struct FreeContext {
    void operator()(EVP_MD_CTX* context) const;
  };
  std::unique_ptr<EVP_MD_CTX, FreeContext> sm3_;  // null: SHA-256
};

}  // namespace deepmoat::verifier
