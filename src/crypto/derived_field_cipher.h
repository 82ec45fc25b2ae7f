// A FieldCipher whose key comes from the root secrets and stays the same: AES-256-GCM under a key
// derived for fields alone. Immutable and thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "crypto/field_cipher.h"

namespace deepmoat::crypto {

class DerivedFieldCipher final : public FieldCipher {
 public:
  // `root`: RootSecrets::signing. The key of fields tells nothing about it.
  explicit DerivedFieldCipher(const Secret& root);

  [[nodiscard]] Result<std::string> seal(const FieldPlace& place, std::string_view plain) override;
  [[nodiscard]] Result<Secret> open(const FieldPlace& place, std::string_view sealed) override;

 private:
  Secret key_;
};

}  // namespace deepmoat::crypto
