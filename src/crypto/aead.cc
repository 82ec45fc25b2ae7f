// AES-256-GCM over OpenSSL's EVP, and what both algorithms share. SM4 is in sm4_gcm.cc.
#include "crypto/aead.h"

#include <openssl/evp.h>

#include "base/random.h"
#include "crypto/sm4_gcm.h"

namespace deepmoat::crypto {

namespace {

constexpr std::size_t kMessageBytesMax = std::size_t{1} << 30;  // EVP counts in int

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;  // wiped by OpenSSL when freed

const unsigned char* in(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* out(char* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}

Result<> check_message(std::string_view nonce, std::string_view bytes,
                       std::string_view associated) {
  if (nonce.size() != kAeadNonceBytes) {
    return fail(Code::invalid_argument, "aead nonce: 12 bytes are needed");
  }
  if (bytes.size() > kMessageBytesMax || associated.size() > kMessageBytesMax) {
    return fail(Code::invalid_argument, "aead: more than 1 GiB in one message");
  }
  return {};
}

class AesGcm final : public Aead {
 public:
  explicit AesGcm(Context context) : context_(std::move(context)) {}

  static Result<std::unique_ptr<Aead>> make(const Secret& key) {
    Context context(EVP_CIPHER_CTX_new());
    if (!context || EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, in(key.reveal()),
                                      nullptr, 1) != 1) {
      return fail(Code::internal, "aead: OpenSSL refused a key of AES-256-GCM");
    }
    return std::make_unique<AesGcm>(std::move(context));
  }

  Result<std::string> seal(std::string_view nonce, std::string_view plain,
                           std::string_view associated) override {
    CHECK_OK(check_message(nonce, plain, associated));
    std::string sealed(plain.size() + kAeadTagBytes, '\0');
    int written = 0;
    int ignored = 0;
    const bool done =
        begin(nonce, associated, 1) &&
        EVP_CipherUpdate(context_.get(), out(sealed.data()), &written, in(plain),
                         static_cast<int>(plain.size())) == 1 &&
        EVP_CipherFinal_ex(context_.get(), out(sealed.data()) + written, &ignored) == 1 &&
        EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kAeadTagBytes),
                            sealed.data() + plain.size()) == 1;
    if (!done) {
      return fail(Code::internal, "aead: OpenSSL refused to encrypt with AES-256-GCM");
    }
    return sealed;
  }

  Result<Secret> open(std::string_view nonce, std::string_view sealed,
                      std::string_view associated) override {
    CHECK_OK(check_message(nonce, sealed, associated));
    if (sealed.size() < kAeadTagBytes) {
      return fail(Code::corrupt, "aead: the sealed bytes are cut short");
    }
    const std::string_view body = sealed.substr(0, sealed.size() - kAeadTagBytes);
    std::string tag(sealed.substr(body.size()));
    std::string plain(body.size() + 1, '\0');  // never empty: EVP wants an address
    int written = 0;
    int ignored = 0;
    const bool done = begin(nonce, associated, 0) &&
                      EVP_CipherUpdate(context_.get(), out(plain.data()), &written, in(body),
                                       static_cast<int>(body.size())) == 1 &&
                      EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_GCM_SET_TAG,
                                          static_cast<int>(kAeadTagBytes), tag.data()) == 1 &&
                      EVP_CipherFinal_ex(context_.get(), out(plain.data()) + written, &ignored) > 0;
    plain.resize(body.size());
    Secret secret(std::move(plain));  // also wipes what failed to authenticate
    if (!done) {
      return fail(Code::corrupt,
                  "aead: the sealed bytes or their key are not those of the sealing");
    }
    return secret;
  }

 private:
  // The key stays from make(); only direction and nonce are new.
  bool begin(std::string_view nonce, std::string_view associated, int encrypt) {
    int ignored = 0;
    return EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, in(nonce), encrypt) == 1 &&
           EVP_CipherUpdate(context_.get(), nullptr, &ignored, in(associated),
                            static_cast<int>(associated.size())) == 1;
  }

  Context context_;
};

}  // namespace

std::string_view aead_name(AeadAlgorithm algorithm) {
  return algorithm == AeadAlgorithm::sm4_gcm ? "SM4-GCM" : "AES-256-GCM";
}

std::size_t aead_key_bytes(AeadAlgorithm algorithm) {
  return algorithm == AeadAlgorithm::sm4_gcm ? kSm4KeyBytes : kAeadKeyBytes;
}

Result<std::unique_ptr<Aead>> Aead::make(AeadAlgorithm algorithm, const Secret& key) {
  if (key.size() != aead_key_bytes(algorithm)) {
    return fail(Code::invalid_argument, "aead key: " + std::string(aead_name(algorithm)) +
                                            " needs " + std::to_string(aead_key_bytes(algorithm)) +
                                            " bytes");
  }
  switch (algorithm) {
    case AeadAlgorithm::sm4_gcm:
      return make_sm4_gcm(key);
    case AeadAlgorithm::aes_256_gcm:
      return AesGcm::make(key);
  }
  return fail(Code::invalid_argument, "aead: no such algorithm");
}

Result<std::string> aead_seal_with_nonce(const Secret& key, std::string_view nonce,
                                         std::string_view plain, std::string_view associated) {
  TRY(const std::unique_ptr<Aead> aead, Aead::make(AeadAlgorithm::aes_256_gcm, key));
  TRY(const std::string sealed, aead->seal(nonce, plain, associated));
  return std::string(nonce) + sealed;
}

Result<std::string> aead_seal(const Secret& key, std::string_view plain,
                              std::string_view associated) {
  TRY(const std::string nonce, random_bytes(kAeadNonceBytes));
  return aead_seal_with_nonce(key, nonce, plain, associated);
}

Result<Secret> aead_open(const Secret& key, std::string_view sealed, std::string_view associated) {
  TRY(const std::unique_ptr<Aead> aead, Aead::make(AeadAlgorithm::aes_256_gcm, key));
  if (sealed.size() < kAeadNonceBytes + kAeadTagBytes) {
    return fail(Code::corrupt, "aead: the sealed bytes are cut short");
  }
  return aead->open(sealed.substr(0, kAeadNonceBytes), sealed.substr(kAeadNonceBytes), associated);
}

}  // namespace deepmoat::crypto
