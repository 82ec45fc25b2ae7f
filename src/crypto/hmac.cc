// HMAC-SHA-256 with precomputed key blocks. Thread-safe.

// See digest.cc: the low-level calls are what makes a key check cost under a microsecond.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hmac.h"

#include <array>
#include <span>
#include <string>

namespace deepmoat::crypto {

namespace {

constexpr std::size_t kBlockBytes = SHA256_CBLOCK;
constexpr char kInnerPad = 0x36;
constexpr char kOuterPad = 0x5c;

void hash_key_block(SHA256_CTX& context, std::string_view key, char pad) {
  std::array<char, kBlockBytes> block;
  block.fill(pad);
  for (std::size_t i = 0; i < key.size(); ++i) {
    block[i] = static_cast<char>(block[i] ^ key[i]);
  }
  SHA256_Init(&context);
  SHA256_Update(&context, block.data(), block.size());
  wipe(std::as_writable_bytes(std::span(block)));
}

}  // namespace

HmacSha256::HmacSha256(const Secret& key) {
  Digest shortened{};
  std::string_view bytes = key.reveal();
  if (bytes.size() > kBlockBytes) {  // RFC 2104: a longer key is hashed first
    shortened = sha256(bytes);
    bytes = view(shortened);
  }
  hash_key_block(inner_, bytes, kInnerPad);
  hash_key_block(outer_, bytes, kOuterPad);
  wipe(std::as_writable_bytes(std::span(shortened)));
}

HmacSha256::~HmacSha256() {
  wipe(std::as_writable_bytes(std::span(&inner_, 1)));
  wipe(std::as_writable_bytes(std::span(&outer_, 1)));
}

Digest HmacSha256::operator()(std::initializer_list<std::string_view> parts) const {
  SHA256_CTX context = inner_;
  for (const std::string_view part : parts) {
    SHA256_Update(&context, part.data(), part.size());
  }
  Digest digest;
  SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &context);
  context = outer_;
  SHA256_Update(&context, digest.data(), digest.size());
  // SHA256_Final leaves the chaining value behind in `context`; it is the digest, no key.
  SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &context);
  return digest;
}

Secret derive_secret(const Secret& root, std::string_view purpose) {
  const HmacSha256 hmac(root);
  Digest block = hmac({purpose, std::string_view("\x01", 1)});
  Secret secret = Secret::copy_of(view(block));
  wipe(std::as_writable_bytes(std::span(block)));
  return secret;
}

}  // namespace deepmoat::crypto
