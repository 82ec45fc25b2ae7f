#include "crypto/derived_field_cipher.h"

#include "crypto/aead.h"
#include "crypto/hmac.h"

namespace deepmoat::crypto {

namespace {

void put_number(std::string& bytes, std::uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(number >> shift));
  }
}

// Each text with its length before it, so that two places never have one spelling.
std::string associated_data(const FieldPlace& place) {
  std::string bytes = "deepmoat field 1";
  for (const std::string_view text : {place.tenant, place.table, place.column, place.row}) {
    put_number(bytes, text.size());
    bytes += text;
  }
  put_number(bytes, place.version);
  return bytes;
}

}  // namespace

DerivedFieldCipher::DerivedFieldCipher(const Secret& root)
    : key_(derive_secret(root, "deepmoat field cipher 1")) {}

Result<std::string> DerivedFieldCipher::seal(const FieldPlace& place, std::string_view plain) {
  return aead_seal(key_, plain, associated_data(place));
}

Result<Secret> DerivedFieldCipher::open(const FieldPlace& place, std::string_view sealed) {
  return aead_open(key_, sealed, associated_data(place));
}

}  // namespace deepmoat::crypto
