// Every migration. SQL that SQLite and PostgreSQL both read, but for STRICT.
#include "store/migrations.h"

#include <array>

namespace deepmoat::store {

namespace {

constexpr std::array<std::string_view, 2> kKeysAndSettings{
    R"sql(
CREATE TABLE api_keys (
  key_id        TEXT    NOT NULL PRIMARY KEY,
  lookup        TEXT    NOT NULL UNIQUE CHECK (length(lookup) = 64),
  client_id     TEXT    NOT NULL,
  kind          TEXT    NOT NULL,
  role          TEXT    NOT NULL,
  tenant        TEXT    NOT NULL,
  label         TEXT    NOT NULL,
  created_ms    INTEGER NOT NULL,
  expires_ms    INTEGER NOT NULL,
  revoked_ms    INTEGER NOT NULL,
  revoke_reason TEXT    NOT NULL,
  row_mac       TEXT    NOT NULL CHECK (length(row_mac) = 64)
) STRICT)sql",
    R"sql(
CREATE TABLE settings (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT)sql",
};

constexpr std::array kMigrations{
    Migration{1, "API keys and settings", kKeysAndSettings},
};

}  // namespace

std::span<const Migration> migrations() {
  return kMigrations;
}

}  // namespace deepmoat::store
