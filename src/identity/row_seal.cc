#include "identity/row_seal.h"

#include "base/hex.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"

namespace deepmoat::identity {

RowSeal::RowSeal(const crypto::RootSecrets& secrets, std::string_view purpose)
    : rows_(crypto::derive_secret(secrets.signing, purpose)) {}

std::string RowSeal::mac(std::initializer_list<std::string_view> texts,
                         std::initializer_list<std::int64_t> numbers) const {
  std::string bytes;
  for (const std::string_view text : texts) {
    crypto::put_text(bytes, text);
  }
  for (const std::int64_t number : numbers) {
    crypto::put_number(bytes, number);
  }
  return to_hex(crypto::view(rows_({bytes})));
}

}  // namespace deepmoat::identity
