// SHA-256 and HMAC over OpenSSL. Thread-safe.

// The low-level SHA256_* calls are deprecated in favour of EVP, which costs three times as much
// on the short input that frames and keys are.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace deepmoat::crypto {

namespace {
const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(Digest& digest) {
  return reinterpret_cast<unsigned char*>(digest.data());
}
}  // namespace

Digest sha256(std::string_view bytes) {
  return sha256({bytes});
}

Digest sha256(std::initializer_list<std::string_view> parts) {
  SHA256_CTX context;
  SHA256_Init(&context);
  for (const std::string_view part : parts) {
    SHA256_Update(&context, part.data(), part.size());
  }
  Digest digest;
  SHA256_Final(bytes_of(digest), &context);
  return digest;
}

struct Sha256::State {
  SHA256_CTX context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  SHA256_Init(&state_->context);
}

Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  SHA256_Update(&state_->context, bytes.data(), bytes.size());
}

Digest Sha256::finish() {
  Digest digest;
  SHA256_Final(bytes_of(digest), &state_->context);
  return digest;
}

Digest hmac_sha256(const Secret& key, std::string_view bytes) {
  Digest digest;
  unsigned int length = 0;
  HMAC(EVP_sha256(), key.reveal().data(), static_cast<int>(key.size()), bytes_of(bytes),
       bytes.size(), bytes_of(digest), &length);
  return digest;
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace deepmoat::crypto
