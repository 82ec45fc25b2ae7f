// Custody in a PKCS#11 token: the root HMAC key and the AES-256 key-encryption keys are made inside
// and never leave. Keys are found by label: `<key_label>-root` and `<key_label>-kek-<generation>`.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "crypto/custody.h"
#include "crypto/pkcs11_token.h"

namespace deepmoat::crypto {

class Pkcs11Custody final : public KeyCustody {
 public:
  // `first_start`: the caller knows that nothing rests on the root key yet, so a token without one
  // gets one. Code::not_found for a token without a root key otherwise; else as Pkcs11Token::open.
  static Result<std::unique_ptr<Pkcs11Custody>> open(Pkcs11Options options, Secret pin,
                                                     bool first_start);

  Result<RootSecrets> root_secrets() override;
  Result<> generate(std::uint64_t generation) override;
  Result<std::vector<std::uint64_t>> generations() override;
  Result<> destroy(std::uint64_t generation) override;
  Result<std::string> wrap(std::uint64_t generation, const Secret& plain,
                           std::string_view associated) override;
  Result<Secret> unwrap(std::uint64_t generation, std::string_view wrapped,
                        std::string_view associated) override;
  Result<> check() override;
  Result<> recover() override;
  CustodyFacts describe() override;
  Result<> keep_note(const std::string& name, std::string_view bytes) override;
  Result<std::optional<std::string>> read_note(const std::string& name) override;

 private:
  using Handle = Pkcs11Token::Handle;

  Pkcs11Custody(Pkcs11Options options, Secret pin);
  // The caller holds mutex_.
  Result<> connect(bool first_start);
  Result<> need_token() const;
  Result<Handle> key_of(std::uint64_t generation);
  Result<std::vector<std::uint64_t>> list_generations();
  Result<Secret> mac(std::string_view label);
  Result<std::string> wrap_with(Handle key, const Secret& plain, std::string_view associated);
  [[nodiscard]] std::string label_of(std::uint64_t generation) const;

  Pkcs11Options options_;
  Secret pin_;
  std::mutex mutex_;
  std::unique_ptr<Pkcs11Token> token_;  // null while it is lost
  Handle root_ = 0;
  std::map<std::uint64_t, Handle> keys_;  // that were found since connect()
  Secret canary_;                         // the answer of the start
  bool pin_refused_ = false;              // never try it again: the token would lock
  std::string root_id_;
  std::mutex facts_mutex_;  // taken last: who asks for facts does not wait for the token
  CustodyFacts facts_;      // of the last connect()
};

}  // namespace deepmoat::crypto
