// The rows of people who sign in. One thread at a time, as all of Database.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/database.h"

namespace deepmoat::store {

// identity/people.h says what each field means. No column holds a password in the open.
struct PersonRow {
  std::string tenant;
  std::string name;
  std::string role;        // "user", "operator", "admin", "auditor"
  UnixMillis role_ms = 0;  // since when
  std::string label;       // free text of the administrator
  std::string password_hash;
  bool must_change = true;  // the password is one that somebody else has seen
  UnixMillis created_ms = 0;
  UnixMillis password_ms = 0;      // of the password in force
  UnixMillis disabled_ms = 0;      // 0 = not disabled
  std::int64_t failures = 0;       // wrong passwords in a row
  UnixMillis locked_until_ms = 0;  // 0 = not locked
  std::string row_mac;             // HMAC over all of the above, 64 hex digits

  bool operator==(const PersonRow&) const = default;
};

class PeopleTable {
 public:
  // `database` outlives it.
  explicit PeopleTable(Database& database) : database_(database) {}

  // Code::already_exists for a name that the tenant has.
  Result<> insert(const PersonRow& row);
  // Replaces the row of the same tenant and name. Code::not_found when there is none.
  Result<> update(const PersonRow& row);
  Result<std::optional<PersonRow>> find(std::string_view tenant, std::string_view name);
  // By tenant, then name.
  Result<std::vector<PersonRow>> list();
  // Code::not_found when there is none.
  Result<> erase(std::string_view tenant, std::string_view name);

 private:
  Database& database_;
};

}  // namespace deepmoat::store
