// The rows of people under their MAC, and their passwords under the pepper: what a thief of the
// database cannot forge and cannot try passwords against. Blocking; on the database's thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "crypto/hmac.h"
#include "crypto/key_file.h"
#include "identity/roles.h"
#include "identity/row_seal.h"
#include "store/people_table.h"

namespace deepmoat::identity {

struct PersonName {
  std::string tenant{kHomeTenant};
  std::string name;

  bool operator==(const PersonName&) const = default;
};

class PersonRows {
 public:
  // `database` outlives it.
  PersonRows(store::Database& database, const crypto::RootSecrets& secrets);
  PersonRows(const PersonRows&) = delete;
  PersonRows& operator=(const PersonRows&) = delete;

  // Code::corrupt for a row that was altered from outside.
  Result<std::optional<store::PersonRow>> find(const PersonName& who);
  Result<std::vector<store::PersonRow>> list();  // as they stand: ask intact()
  [[nodiscard]] bool intact(const store::PersonRow& row) const;

  // Both seal the row first.
  Result<> insert(store::PersonRow& row);
  Result<> update(store::PersonRow& row);
  Result<> erase(const PersonName& who);

  // What is hashed instead of the password: an HMAC of it, with whose it is. Thread-safe.
  [[nodiscard]] Secret peppered(const PersonName& who, const Secret& password) const;

 private:
  [[nodiscard]] std::string row_mac(const store::PersonRow& row) const;

  store::PeopleTable table_;
  RowSeal rows_;
  crypto::HmacSha256 passwords_;
};

}  // namespace deepmoat::identity
