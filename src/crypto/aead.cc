// AES-256-GCM over OpenSSL's EVP. Thread-safe: a context a call.
#include "crypto/aead.h"

#include <openssl/evp.h>

#include <memory>

#include "base/random.h"

namespace deepmoat::crypto {

namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* in(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* out(char* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}

Result<> check_sizes(const Secret& key, std::string_view bytes) {
  constexpr std::size_t kBytesMax = std::size_t{1} << 30;  // EVP counts in int
  if (key.size() != kAeadKeyBytes) {
    return fail(Code::invalid_argument, "aead key: 32 bytes are needed");
  }
  if (bytes.size() > kBytesMax) {
    return fail(Code::invalid_argument, "aead: more than 1 GiB in one message");
  }
  return {};
}

}  // namespace

Result<std::string> aead_seal_with_nonce(const Secret& key, std::string_view nonce,
                                         std::string_view plain, std::string_view associated) {
  CHECK_OK(check_sizes(key, plain));
  CHECK_OK(check_sizes(key, associated));
  if (nonce.size() != kAeadNonceBytes) {
    return fail(Code::invalid_argument, "aead nonce: 12 bytes are needed");
  }
  std::string sealed(nonce);
  sealed.resize(kAeadNonceBytes + plain.size() + kAeadTagBytes);
  char* const body = sealed.data() + kAeadNonceBytes;
  const Context context(EVP_CIPHER_CTX_new());
  int written = 0;
  int ignored = 0;
  const bool done =
      context &&
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, in(key.reveal()), in(nonce)) &&
      EVP_EncryptUpdate(context.get(), nullptr, &ignored, in(associated),
                        static_cast<int>(associated.size())) &&
      EVP_EncryptUpdate(context.get(), out(body), &written, in(plain),
                        static_cast<int>(plain.size())) &&
      EVP_EncryptFinal_ex(context.get(), out(body) + written, &ignored) &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kAeadTagBytes),
                          body + plain.size());
  if (!done) {
    return fail(Code::internal, "aead: OpenSSL refused to encrypt with AES-256-GCM");
  }
  return sealed;
}

Result<std::string> aead_seal(const Secret& key, std::string_view plain,
                              std::string_view associated) {
  TRY(const std::string nonce, random_bytes(kAeadNonceBytes));
  return aead_seal_with_nonce(key, nonce, plain, associated);
}

Result<Secret> aead_open(const Secret& key, std::string_view sealed, std::string_view associated) {
  CHECK_OK(check_sizes(key, sealed));
  CHECK_OK(check_sizes(key, associated));
  if (sealed.size() < kAeadNonceBytes + kAeadTagBytes) {
    return fail(Code::corrupt, "aead: the sealed bytes are cut short");
  }
  const std::string_view nonce = sealed.substr(0, kAeadNonceBytes);
  const std::string_view body =
      sealed.substr(kAeadNonceBytes, sealed.size() - kAeadNonceBytes - kAeadTagBytes);
  std::string tag(sealed.substr(sealed.size() - kAeadTagBytes));
  std::string plain(body.size() + 1, '\0');  // never empty: EVP wants an address
  const Context context(EVP_CIPHER_CTX_new());
  int written = 0;
  int ignored = 0;
  const bool done =
      context &&
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, in(key.reveal()), in(nonce)) &&
      EVP_DecryptUpdate(context.get(), nullptr, &ignored, in(associated),
                        static_cast<int>(associated.size())) &&
      EVP_DecryptUpdate(context.get(), out(plain.data()), &written, in(body),
                        static_cast<int>(body.size())) &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kAeadTagBytes),
                          tag.data()) &&
      EVP_DecryptFinal_ex(context.get(), out(plain.data()) + written, &ignored) > 0;
  plain.resize(body.size());
  Secret secret(std::move(plain));  // also wipes what failed to authenticate
  if (!done) {
    return fail(Code::corrupt, "aead: the sealed bytes or their key are not those of the sealing");
  }
  return secret;
}

}  // namespace deepmoat::crypto
