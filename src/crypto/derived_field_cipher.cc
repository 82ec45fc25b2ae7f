// Fields under one derived key. Thread-safe.
#include "crypto/derived_field_cipher.h"

#include <cstdint>

#include "crypto/aead.h"
#include "crypto/hmac.h"

namespace deepmoat::crypto {

namespace {

constexpr std::string_view kPurpose = "deepmoat field cipher 1";

void put_number(std::string& bytes, std::uint64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes += static_cast<char>((number >> shift) & 0xff);
  }
}

// A length before every part, so that no two places give the same bytes.
std::string bytes_of(const FieldPlace& place) {
  std::string bytes;
  for (const std::string_view part : {place.tenant, place.table, place.column, place.row}) {
    put_number(bytes, part.size());
    bytes += part;
  }
  put_number(bytes, place.version);
  return bytes;
}

}  // namespace

DerivedFieldCipher::DerivedFieldCipher(const Secret& root) : key_(derive_secret(root, kPurpose)) {}

Result<std::string> DerivedFieldCipher::seal(const FieldPlace& place, std::string_view plain) {
  return aead_seal(key_, plain, bytes_of(place));
}

Result<Secret> DerivedFieldCipher::open(const FieldPlace& place, std::string_view sealed) {
  return aead_open(key_, sealed, bytes_of(place));
}

}  // namespace deepmoat::crypto
