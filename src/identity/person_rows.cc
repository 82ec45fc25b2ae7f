#include "identity/person_rows.h"

#include <utility>

#include "base/hex.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kRowPurpose = "deepmoat person row 1";
constexpr std::string_view kPasswordPurpose = "deepmoat person password 1";

}  // namespace

PersonRows::PersonRows(store::Database& database, const crypto::RootSecrets& secrets)
    : table_(database),
      rows_(secrets, kRowPurpose),
      passwords_(crypto::derive_secret(secrets.pepper, kPasswordPurpose)) {}

std::string PersonRows::row_mac(const store::PersonRow& row) const {
  return rows_.mac({row.tenant, row.name, row.role, row.label, row.password_hash},
                   {row.role_ms, row.must_change ? 1 : 0, row.created_ms, row.password_ms,
                    row.disabled_ms, row.failures, row.locked_until_ms});
}

bool PersonRows::intact(const store::PersonRow& row) const {
  return crypto::equal_constant_time(row.row_mac, row_mac(row));
}

Result<std::optional<store::PersonRow>> PersonRows::find(const PersonName& who) {
  TRY(std::optional<store::PersonRow> row, table_.find(who.tenant, who.name));
  if (row && !intact(*row)) {
    return fail(Code::corrupt, "the row of person " + who.name +
                                   " was altered from outside; remove the person and create "
                                   "them anew: deepmoat person remove " +
                                   who.name);
  }
  return row;
}

Result<std::vector<store::PersonRow>> PersonRows::list() {
  return table_.list();
}

Result<> PersonRows::insert(store::PersonRow& row) {
  row.row_mac = row_mac(row);
  return table_.insert(row);
}

Result<> PersonRows::update(store::PersonRow& row) {
  row.row_mac = row_mac(row);
  return table_.update(row);
}

Result<> PersonRows::erase(const PersonName& who) {
  return table_.erase(who.tenant, who.name);
}

Secret PersonRows::peppered(const PersonName& who, const Secret& password) const {
  std::string whose;
  crypto::put_text(whose, who.tenant);
  crypto::put_text(whose, who.name);
  return Secret(to_hex(crypto::view(passwords_({whose, password.reveal()}))));
}

}  // namespace deepmoat::identity
