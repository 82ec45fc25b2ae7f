// Hashing over OpenSSL. The threads: see the header.

// The low-level SHA256_* calls are deprecated in favour of EVP, which costs much more on input as
// short as a record or two hashes.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "verifier/hash.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace deepmoat::verifier {

namespace {

unsigned char* out(Digest& digest) {
  return reinterpret_cast<unsigned char*>(digest.data());
}

Digest sha256_of(std::initializer_list<std::string_view> parts) {
  SHA256_CTX context;
  SHA256_Init(&context);
  for (const std::string_view part : parts) {
    SHA256_Update(&context, part.data(), part.size());
  }
  Digest digest;
  SHA256_Final(out(digest), &context);
  return digest;
}

constexpr std::string_view kLeafPrefix{"\x00", 1};
constexpr std::string_view kNodePrefix{"\x01", 1};

}  // namespace

Digest sha256(std::string_view bytes) {
  return sha256_of({bytes});
}

struct RunningSha256::State {
  SHA256_CTX context;
};

RunningSha256::RunningSha256() : state_(std::make_unique<State>()) {
  SHA256_Init(&state_->context);
}

RunningSha256::~RunningSha256() = default;

void RunningSha256::add(std::string_view bytes) {
  SHA256_Update(&state_->context, bytes.data(), bytes.size());
}

Digest RunningSha256::finish() {
  Digest digest;
  SHA256_Final(out(digest), &state_->context);
  return digest;
}

void TreeHasher::FreeContext::operator()(EVP_MD_CTX* context) const {
  EVP_MD_CTX_free(context);
}

TreeHasher::TreeHasher(Algorithm algorithm)
    : sm3_(algorithm == Algorithm::sm3 ? EVP_MD_CTX_new() : nullptr) {
  if (sm3_) {
    EVP_DigestInit_ex(sm3_.get(), EVP_sm3(), nullptr);
  }
}

TreeHasher::~TreeHasher() = default;
TreeHasher::TreeHasher(TreeHasher&&) noexcept = default;
TreeHasher& TreeHasher::operator=(TreeHasher&&) noexcept = default;

Digest TreeHasher::hash(std::initializer_list<std::string_view> parts) const {
  if (!sm3_) {
    return sha256_of(parts);
  }
  // Zeros where OpenSSL fails (it has no memory): a wrong hash refuses, it lets nothing pass.
  Digest digest{};
  bool good = EVP_DigestInit_ex(sm3_.get(), nullptr, nullptr) == 1;
  for (const std::string_view part : parts) {
    good = good && EVP_DigestUpdate(sm3_.get(), part.data(), part.size()) == 1;
  }
  if (!good || EVP_DigestFinal_ex(sm3_.get(), out(digest), nullptr) != 1) {
    digest.fill(0);
  }
  return digest;
}

Digest TreeHasher::leaf(std::string_view data) const {
  return hash({kLeafPrefix, data});
}

Digest TreeHasher::node(const Digest& left, const Digest& right) const {
  return hash({kNodePrefix, view(left), view(right)});
}

Digest TreeHasher::nothing() const {
  return hash({});
}

}  // namespace deepmoat::verifier
