// Ed25519 over OpenSSL's EVP. Thread-safe: a context a call.
#include "crypto/signature.h"

#include <openssl/bio.h>
#include <openssl/pem.h>

#include <utility>

#include "base/hex.h"
#include "crypto/digest.h"

namespace deepmoat::crypto {

namespace {

constexpr std::size_t kPemBytesMax = 16 * 1024;
constexpr std::size_t kIdDigits = 16;

struct FreeSsl {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeSsl>;
using Context = std::unique_ptr<EVP_MD_CTX, FreeSsl>;
using Bio = std::unique_ptr<BIO, FreeSsl>;

const unsigned char* in(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* out(std::string& bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

Result<std::string> raw_public_key(const EVP_PKEY& key) {
  std::string bytes(kPublicKeyBytes, '\0');
  std::size_t size = bytes.size();
  if (EVP_PKEY_get_raw_public_key(&key, out(bytes), &size) != 1 || size != bytes.size()) {
    return fail(Code::internal, "Ed25519: OpenSSL does not give the public key");
  }
  return bytes;
}

Key public_key_of(std::string_view bytes) {
  return Key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, in(bytes), bytes.size()));
}

}  // namespace

Result<SigningKey> SigningKey::from_seed(const Secret& seed) {
  if (seed.size() != kSigningSeedBytes) {
    return fail(Code::invalid_argument, "Ed25519: the seed must have 32 bytes");
  }
  SigningKey made;
  made.key_.reset(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, in(seed.reveal()), seed.size()));
  if (!made.key_) {
    return fail(Code::internal, "Ed25519: OpenSSL does not take the seed");
  }
  TRY(made.public_key_, raw_public_key(*made.key_));
  return made;
}

Result<std::string> SigningKey::sign(std::string_view message) const {
  const Context context(EVP_MD_CTX_new());
  std::string signature(kSignatureBytes, '\0');
  std::size_t size = signature.size();
  const bool done =
      context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1 &&
      EVP_DigestSign(context.get(), out(signature), &size, in(message), message.size()) == 1 &&
      size == signature.size();
  if (!done) {
    return fail(Code::internal, "Ed25519: OpenSSL refused to sign");
  }
  return signature;
}

bool verify_signature(std::string_view public_key, std::string_view message,
                      std::string_view signature) {
  if (public_key.size() != kPublicKeyBytes || signature.size() != kSignatureBytes) {
    return false;
  }
  const Key key = public_key_of(public_key);
  const Context context(EVP_MD_CTX_new());
  return key && context &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), in(signature), signature.size(), in(message),
                          message.size()) == 1;
}

Result<std::string> public_key_to_pem(std::string_view public_key) {
  const Key key = public_key_of(public_key);
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!key || !bio || PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1) {
    return fail(Code::invalid_argument, "Ed25519: these 32 bytes are no public key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Result<std::string> public_key_from_pem(std::string_view pem) {
  const Bio bio(pem.size() <= kPemBytesMax
                    ? BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))
                    : nullptr);
  char no_passphrase[] = "";
  const Key key(bio ? PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, no_passphrase) : nullptr);
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    return fail(Code::corrupt, "no Ed25519 public key in PEM form");
  }
  return raw_public_key(*key);
}

std::string public_key_id(std::string_view public_key) {
  return to_hex(view(sha256(public_key))).substr(0, kIdDigits);
}

}  // namespace deepmoat::crypto
