// A FieldCipher whose one key is derived from the root secrets: AES-256-GCM with the place as
// associated data. Serves where no key envelope is set up. Thread-safe.
#pragma once

#include "crypto/field_cipher.h"

namespace deepmoat::crypto {

class DerivedFieldCipher final : public FieldCipher {
 public:
  // `root`: a root secret of 32 bytes; what is sealed opens with the same one only.
  explicit DerivedFieldCipher(const Secret& root);

  [[nodiscard]] Result<std::string> seal(const FieldPlace& place, std::string_view plain) override;
  [[nodiscard]] Result<Secret> open(const FieldPlace& place, std::string_view sealed) override;

 private:
  Secret key_;
};

}  // namespace deepmoat::crypto
