// The MAC of a stored row: who can write the database and has no secret of ours cannot make, edit
// or copy one that counts. (Keys' rows have a form of their own, key_authority.h.) Thread-safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "crypto/hmac.h"
#include "crypto/key_file.h"

namespace deepmoat::identity {

class RowSeal {
 public:
  // One purpose for each table, never changed: it is part of the rows' format.
  RowSeal(const crypto::RootSecrets& secrets, std::string_view purpose);
  RowSeal(const RowSeal&) = delete;
  RowSeal& operator=(const RowSeal&) = delete;

  // 64 hex digits over the texts, a length before each, then the numbers. Compare with
  // crypto::equal_constant_time().
  [[nodiscard]] std::string mac(std::initializer_list<std::string_view> texts,
                                std::initializer_list<std::int64_t> numbers) const;

 private:
  crypto::HmacSha256 rows_;
};

}  // namespace deepmoat::identity
