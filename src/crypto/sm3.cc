// SM3 over OpenSSL's EVP. Thread-safe.
#include "crypto/sm3.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace deepmoat::crypto {

namespace {

std::unexpected<Error> no_sm3() {
  return fail(Code::internal, "this OpenSSL has no SM3");
}

const unsigned char* in(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Result<Digest> sm3(std::string_view bytes) {
  Digest digest;
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                 &length, EVP_sm3(), nullptr) != 1 ||
      length != digest.size()) {
    return no_sm3();
  }
  return digest;
}

Result<Digest> hmac_sm3(const Secret& key, std::string_view bytes) {
  Digest digest;
  unsigned int length = 0;
  if (HMAC(EVP_sm3(), key.reveal().data(), static_cast<int>(key.size()), in(bytes), bytes.size(),
           reinterpret_cast<unsigned char*>(digest.data()), &length) == nullptr ||
      length != digest.size()) {
    return no_sm3();
  }
  return digest;
}

}  // namespace deepmoat::crypto
