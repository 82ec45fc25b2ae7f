// Botan keeps keys and buffers in memory that it wipes; its exceptions end here. One thread at a
// time.
#include "crypto/sm4_gcm.h"

#include <botan/aead.h>

#include <exception>
#include <span>
#include <utility>

namespace deepmoat::crypto {

namespace {

constexpr const char* kName = "SM4/GCM";

const std::uint8_t* in(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

Botan::secure_vector<std::uint8_t> copy_of(std::string_view bytes) {
  return {in(bytes), in(bytes) + bytes.size()};
}

class Sm4Gcm final : public Aead {
 public:
  explicit Sm4Gcm(const Secret& key)
      : sealing_(Botan::AEAD_Mode::create_or_throw(kName, Botan::ENCRYPTION)),
        opening_(Botan::AEAD_Mode::create_or_throw(kName, Botan::DECRYPTION)) {
    sealing_->set_key(in(key.reveal()), key.size());
    opening_->set_key(in(key.reveal()), key.size());
  }

  Result<std::string> seal(std::string_view nonce, std::string_view plain,
                           std::string_view associated) override {
    if (nonce.size() != kAeadNonceBytes) {
      return fail(Code::invalid_argument, "aead nonce: 12 bytes are needed");
    }
    try {
      Botan::secure_vector<std::uint8_t> buffer;
      buffer.reserve(plain.size() + kAeadTagBytes);  // the tag comes without a second copy
      buffer.assign(in(plain), in(plain) + plain.size());
      sealing_->set_associated_data(in(associated), associated.size());
      sealing_->start(in(nonce), nonce.size());
      sealing_->finish(buffer);
      return std::string(reinterpret_cast<const char*>(buffer.data()), buffer.size());
    } catch (const std::exception& error) {
      sealing_->reset();
      return fail(Code::internal, std::string("aead: Botan refused SM4-GCM: ") + error.what());
    }
  }

  Result<Secret> open(std::string_view nonce, std::string_view sealed,
                      std::string_view associated) override {
    if (nonce.size() != kAeadNonceBytes || sealed.size() < kAeadTagBytes) {
      return fail(Code::corrupt, "aead: the sealed bytes are cut short");
    }
    try {
      Botan::secure_vector<std::uint8_t> buffer = copy_of(sealed);
      opening_->set_associated_data(in(associated), associated.size());
      opening_->start(in(nonce), nonce.size());
      opening_->finish(buffer);  // throws before it gives out what does not authenticate
      return Secret::copy_of({reinterpret_cast<const char*>(buffer.data()), buffer.size()});
    } catch (const std::exception&) {
      opening_->reset();
      return fail(Code::corrupt,
                  "aead: the sealed bytes or their key are not those of the sealing");
    }
  }

 private:
  std::unique_ptr<Botan::AEAD_Mode> sealing_;
  std::unique_ptr<Botan::AEAD_Mode> opening_;
};

}  // namespace

Result<std::unique_ptr<Aead>> make_sm4_gcm(const Secret& key) {
  try {
    return std::make_unique<Sm4Gcm>(key);
  } catch (const std::exception& error) {
    return fail(Code::internal, std::string("aead: Botan has no SM4-GCM: ") + error.what());
  }
}

}  // namespace deepmoat::crypto
