// A FieldCipher with one key and no files, for tests of those who store secrets. Like the envelope
// it opens a field in its own place only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "crypto/aead.h"
#include "crypto/field_cipher.h"
#include "crypto/hmac.h"

namespace deepmoat::crypto {

class ScratchFieldCipher final : public FieldCipher {
 public:
  // `root`: any secret of 32 bytes.
  explicit ScratchFieldCipher(const Secret& root) : key_(derive_secret(root, "scratch cipher")) {}

  [[nodiscard]] Result<std::string> seal(const FieldPlace& place, std::string_view plain) override {
    if (seal_fails) {
      return fail(Code::unavailable, "no key for this field");
    }
    return aead_seal(key_, plain, bytes_of(place));
  }
  [[nodiscard]] Result<Secret> open(const FieldPlace& place, std::string_view sealed) override {
    return aead_open(key_, sealed, bytes_of(place));
  }

  bool seal_fails = false;

 private:
  // A length before every part, so that no two places give the same bytes.
  static std::string bytes_of(const FieldPlace& place) {
    std::string bytes;
    for (const std::string_view part : {place.tenant, place.table, place.column, place.row}) {
      bytes += std::to_string(part.size()) + ':';
      bytes += part;
    }
    return bytes + std::to_string(place.version);
  }

  Secret key_;
};

}  // namespace deepmoat::crypto
