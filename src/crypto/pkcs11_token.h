// One token of a PKCS#11 module (2.40), spoken to through dlopen: opened by its label, with one
// session, its keys found by theirs. One thread at a time.
//
// A token that vanished and came back does not know the old handles any more, and says so in
// different words; therefore anything that is not CKR_OK counts as "not OK", and the way back is to
// close the module and begin anew: open() again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

struct ck_function_list;

namespace deepmoat::crypto {

struct Pkcs11Options {
  std::string module;  // path of the library
  std::string token_label;
  std::string key_label = "deepmoat";  // what the labels of our keys begin with
  // PKCS#11 2.40 has ulIvBits in CK_GCM_PARAMS, older drivers do not: "auto" tries both.
  std::string gcm_layout = "auto";  // auto, with_iv_bits, without_iv_bits
};

class Pkcs11Token {
 public:
  using Handle = unsigned long;

  // Loads the module, finds the token, logs in. Code::unavailable when module or token are not
  // there, Code::unauthenticated when the token refuses the PIN: never try that PIN again by
  // itself, or the token locks.
  static Result<std::unique_ptr<Pkcs11Token>> open(const Pkcs11Options& options, const Secret& pin);

  Pkcs11Token(const Pkcs11Token&) = delete;
  Pkcs11Token& operator=(const Pkcs11Token&) = delete;
  ~Pkcs11Token();

  // Made inside: SENSITIVE, not EXTRACTABLE, kept on the token.
  Result<Handle> make_aes_key(const std::string& label);
  Result<Handle> make_hmac_key(const std::string& label);
  // Code::not_found, and Code::corrupt for several of the same label.
  Result<Handle> find_key(const std::string& label);
  // Labels of all secret keys that begin so.
  Result<std::vector<std::string>> labels(const std::string& start);
  Result<> destroy_key(Handle key);
  // A data object, which everybody with the token can read: replaces the one of this label.
  Result<> write_data(const std::string& label, std::string_view bytes);
  Result<std::optional<std::string>> read_data(const std::string& label);
  // SENSITIVE and NEVER_EXTRACTABLE, as the token says.
  Result<bool> never_left(Handle key);

  Result<std::string> encrypt_gcm(Handle key, std::string_view nonce, std::string_view plain,
                                  std::string_view associated);
  // Code::corrupt when the token refuses bytes that it was reached for.
  Result<Secret> decrypt_gcm(Handle key, std::string_view nonce, std::string_view sealed,
                             std::string_view associated);
  Result<Secret> hmac_sha256(Handle key, std::string_view bytes);

  // "label, maker model, serial 1234, firmware 2.6"
  [[nodiscard]] const std::string& description() const { return description_; }
  [[nodiscard]] std::string_view gcm_layout() const;

 private:
  class Library;
  enum class GcmLayout : std::uint8_t { unknown, with_iv_bits, without_iv_bits };

  explicit Pkcs11Token(std::unique_ptr<Library> library);
  Result<> find_slot(const std::string& label);
  Result<> begin_session(const Secret& pin);
  Result<std::vector<Handle>> find(const std::string* label);
  Result<std::vector<Handle>> find_objects(unsigned long object_class, const std::string* label);
  Result<std::string> label_of(Handle key);
  unsigned long begin_gcm(bool encrypt, Handle key, std::string_view nonce,
                          std::string_view associated, GcmLayout layout);
  Result<> start_gcm(bool encrypt, Handle key, std::string_view nonce, std::string_view associated);

  std::unique_ptr<Library> library_;
  unsigned long slot_ = 0;
  unsigned long session_ = 0;
  bool in_session_ = false;
  GcmLayout layout_ = GcmLayout::unknown;
  std::string description_;
};

}  // namespace deepmoat::crypto
