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

constexpr std::array<std::string_view, 2> kImportedModels{
    R"sql(
CREATE TABLE model_versions (
  name          TEXT    NOT NULL,
  number        INTEGER NOT NULL CHECK (number > 0),
  kind          TEXT    NOT NULL CHECK (kind IN ('model', 'adapter')),
  sha256        TEXT    NOT NULL CHECK (length(sha256) = 64),
  file          TEXT    NOT NULL,
  bytes         INTEGER NOT NULL,
  quantisation  TEXT    NOT NULL,
  architecture  TEXT    NOT NULL,
  parameters    INTEGER NOT NULL,
  task          TEXT    NOT NULL,
  base          TEXT    NOT NULL,
  source        TEXT    NOT NULL,
  source_sha256 TEXT    NOT NULL,
  imported_by   TEXT    NOT NULL,
  tool          TEXT    NOT NULL,
  measurements  TEXT    NOT NULL,
  pinned        INTEGER NOT NULL CHECK (pinned IN (0, 1)),
  created_ms    INTEGER NOT NULL,
  PRIMARY KEY (name, number),
  UNIQUE (name, sha256)
) STRICT)sql",
    // Numbers that were given out, so that a removed version's is not used again.
    R"sql(
CREATE TABLE model_numbers (
  name        TEXT    NOT NULL PRIMARY KEY,
  number_last INTEGER NOT NULL
) STRICT)sql",
};

// One column a statement: SQLite takes no more. An old row is bound to nothing, and its MAC is of
// version 1.
constexpr std::array<std::string_view, 13> kAttributesAndTenants{
    "ALTER TABLE api_keys ADD COLUMN models TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_keys ADD COLUMN adapter TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_keys ADD COLUMN adapter_only INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE api_keys ADD COLUMN ip_ranges TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_keys ADD COLUMN data_class TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_keys ADD COLUMN requests_per_minute INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE api_keys ADD COLUMN tokens_per_minute INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE api_keys ADD COLUMN concurrent_calls INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE api_keys ADD COLUMN labels TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_keys ADD COLUMN mac_version INTEGER NOT NULL DEFAULT 1",
    R"sql(
CREATE TABLE tenants (
  name         TEXT    NOT NULL PRIMARY KEY,
  organisation TEXT    NOT NULL,
  label        TEXT    NOT NULL,
  created_ms   INTEGER NOT NULL
) STRICT)sql",
    R"sql(
INSERT INTO tenants (name, organisation, label, created_ms)
SELECT tenant, '', '', min(created_ms) FROM api_keys GROUP BY tenant)sql",
};

constexpr std::array<std::string_view, 1> kSecondFactors{
    R"sql(
CREATE TABLE second_factors (
  tenant          TEXT    NOT NULL,
  client_id       TEXT    NOT NULL,
  algorithm       TEXT    NOT NULL,
  secret          TEXT    NOT NULL,
  recovery        TEXT    NOT NULL,
  enrolled_ms     INTEGER NOT NULL,
  confirmed_ms    INTEGER NOT NULL,
  last_counter    INTEGER NOT NULL,
  failures        INTEGER NOT NULL,
  locked_until_ms INTEGER NOT NULL,
  row_mac         TEXT    NOT NULL CHECK (length(row_mac) = 64),
  PRIMARY KEY (tenant, client_id)
) STRICT)sql",
};

// Keys that follow one another.
constexpr std::array<std::string_view, 3> kKeySuccession{
    "ALTER TABLE api_keys ADD COLUMN predecessor TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_keys ADD COLUMN lineage TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE api_keys ADD COLUMN overlap_until_ms INTEGER NOT NULL DEFAULT 0",
};

constexpr std::array<std::string_view, 2> kWebhooks{
    R"sql(
CREATE TABLE webhooks (
  webhook_id    TEXT    NOT NULL PRIMARY KEY,
  tenant        TEXT    NOT NULL,
  url           TEXT    NOT NULL,
  events        TEXT    NOT NULL,
  sealed_secret TEXT    NOT NULL,
  created_by    TEXT    NOT NULL,
  created_ms    INTEGER NOT NULL
) STRICT)sql",
    // Outlives its webhook: it is the record of what was sent.
    R"sql(
CREATE TABLE webhook_deliveries (
  delivery_id TEXT    NOT NULL PRIMARY KEY,
  webhook_id  TEXT    NOT NULL,
  tenant      TEXT    NOT NULL,
  event       TEXT    NOT NULL,
  subject     TEXT    NOT NULL,
  body        TEXT    NOT NULL,
  created_ms  INTEGER NOT NULL,
  state       TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed', 'dropped')),
  attempts    INTEGER NOT NULL,
  next_ms     INTEGER NOT NULL,
  last_ms     INTEGER NOT NULL,
  last_status INTEGER NOT NULL,
  last_error  TEXT    NOT NULL,
  UNIQUE (webhook_id, event, subject)
) STRICT)sql",
};

constexpr std::array<std::string_view, 2> kClientCertificates{
    R"sql(
CREATE TABLE client_certificates (
  fingerprint TEXT    NOT NULL PRIMARY KEY,
  tenant      TEXT    NOT NULL,
  client_id   TEXT    NOT NULL,
  created_by  TEXT    NOT NULL,
  created_ms  INTEGER NOT NULL,
  ends_ms     INTEGER NOT NULL,
  revoked_ms  INTEGER NOT NULL
) STRICT)sql",
    R"sql(
CREATE TABLE key_successors (
  old_key_id TEXT    NOT NULL PRIMARY KEY,
  new_key_id TEXT    NOT NULL,
  tenant     TEXT    NOT NULL,
  client_id  TEXT    NOT NULL,
  sealed_key TEXT    NOT NULL,
  created_ms INTEGER NOT NULL,
  ends_ms    INTEGER NOT NULL,
  fetched_ms INTEGER NOT NULL
) STRICT)sql",
};

constexpr std::array<std::string_view, 1> kPeople{
    R"sql(
CREATE TABLE people (
  tenant          TEXT    NOT NULL,
  name            TEXT    NOT NULL,
  role            TEXT    NOT NULL,
  role_ms         INTEGER NOT NULL,
  label           TEXT    NOT NULL,
  password_hash   TEXT    NOT NULL,
  must_change     INTEGER NOT NULL CHECK (must_change IN (0, 1)),
  created_ms      INTEGER NOT NULL,
  password_ms     INTEGER NOT NULL,
  disabled_ms     INTEGER NOT NULL,
  failures        INTEGER NOT NULL,
  locked_until_ms INTEGER NOT NULL,
  row_mac         TEXT    NOT NULL CHECK (length(row_mac) = 64),
  PRIMARY KEY (tenant, name)
) STRICT)sql",
};

// What waits for a second person, and what became of it.
constexpr std::array<std::string_view, 1> kApprovals{
    R"sql(
CREATE TABLE approvals (
  approval_id    TEXT    NOT NULL PRIMARY KEY,
  tenant         TEXT    NOT NULL,
  operator_id    TEXT    NOT NULL,
  key_id         TEXT    NOT NULL,
  role           TEXT    NOT NULL,
  authentication TEXT    NOT NULL,
  ip_address     TEXT    NOT NULL,
  scopes         TEXT    NOT NULL,
  route          TEXT    NOT NULL,
  argument       TEXT    NOT NULL,
  body           TEXT    NOT NULL,
  action         TEXT    NOT NULL,
  resource       TEXT    NOT NULL,
  created_ms     INTEGER NOT NULL,
  expires_ms     INTEGER NOT NULL,
  state          TEXT    NOT NULL CHECK (state IN
                   ('waiting', 'approved', 'done', 'failed', 'refused', 'withdrawn')),
  decided_tenant TEXT    NOT NULL,
  decided_by     TEXT    NOT NULL,
  decided_key_id TEXT    NOT NULL,
  decided_ms     INTEGER NOT NULL,
  reason         TEXT    NOT NULL,
  status         INTEGER NOT NULL,
  row_mac        TEXT    NOT NULL CHECK (length(row_mac) = 64)
) STRICT)sql",
};

// A certificate from before has none, so it is not in force until it is issued again: nothing tells
// it from one that somebody wrote into the table.
constexpr std::array<std::string_view, 1> kSealedCertificates{
    "ALTER TABLE client_certificates ADD COLUMN row_mac TEXT NOT NULL DEFAULT ''",
};

// What is due is asked for after every message, and the list by every administrator.
constexpr std::array<std::string_view, 4> kDeliveryIndexes{
    R"sql(
CREATE INDEX webhook_deliveries_due
ON webhook_deliveries (webhook_id, next_ms, created_ms, delivery_id) WHERE state = 'waiting')sql",
    R"sql(
CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_ms) WHERE state = 'waiting')sql",
    R"sql(
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (created_ms, delivery_id))sql",
    R"sql(
CREATE INDEX webhook_deliveries_newest_of_tenant
ON webhook_deliveries (tenant, created_ms, delivery_id))sql",
};

// Those of the home tenant were added by its administrators; of the others nobody knows by whom.
constexpr std::array<std::string_view, 2> kInternalWebhooks{
    "ALTER TABLE webhooks ADD COLUMN internal INTEGER NOT NULL DEFAULT 0",
    "UPDATE webhooks SET internal = 1 WHERE tenant = 'default'",
};

// Leaks whose keys are withdrawn and whose records are still to be made.
constexpr std::array<std::string_view, 1> kOpenLeaks{
    R"sql(
CREATE TABLE open_leaks (
  key_id    TEXT NOT NULL PRIMARY KEY,
  content   TEXT NOT NULL,
  signature TEXT NOT NULL
) STRICT)sql",
};

// What auditors set, and the content of calls that a policy of theirs keeps.
constexpr std::array<std::string_view, 5> kOversight{
    R"sql(
CREATE TABLE content_policies (
  policy_id  TEXT    NOT NULL PRIMARY KEY,
  tenant     TEXT    NOT NULL,
  model      TEXT    NOT NULL,
  data_class TEXT    NOT NULL,
  sample_ppm INTEGER NOT NULL,
  keep_days  INTEGER NOT NULL,
  reason     TEXT    NOT NULL,
  created_by TEXT    NOT NULL,
  created_ms INTEGER NOT NULL,
  row_mac    TEXT    NOT NULL CHECK (length(row_mac) = 64)
) STRICT)sql",
    R"sql(
CREATE TABLE legal_holds (
  hold_id     TEXT    NOT NULL PRIMARY KEY,
  tenant      TEXT    NOT NULL,
  key_id      TEXT    NOT NULL,
  operator_id TEXT    NOT NULL,
  since_ms    INTEGER NOT NULL,
  until_ms    INTEGER NOT NULL,
  reason      TEXT    NOT NULL,
  placed_by   TEXT    NOT NULL,
  placed_ms   INTEGER NOT NULL,
  released_by TEXT    NOT NULL,
  released_ms INTEGER NOT NULL,
  row_mac     TEXT    NOT NULL CHECK (length(row_mac) = 64)
) STRICT)sql",
    // The facts before the texts: they are read alone, and the texts lie on further pages.
    R"sql(
CREATE TABLE call_contents (
  content_id    TEXT    NOT NULL PRIMARY KEY,
  tenant        TEXT    NOT NULL,
  request_id    TEXT    NOT NULL,
  key_id        TEXT    NOT NULL,
  operator_id   TEXT    NOT NULL,
  model         TEXT    NOT NULL,
  data_class    TEXT    NOT NULL,
  cut           INTEGER NOT NULL,
  called_ms     INTEGER NOT NULL,
  kept_until_ms INTEGER NOT NULL,
  digest        TEXT    NOT NULL CHECK (length(digest) = 64),
  row_mac       TEXT    NOT NULL CHECK (length(row_mac) = 64),
  input         TEXT    NOT NULL,
  output        TEXT    NOT NULL
) STRICT)sql",
    "CREATE INDEX call_contents_of_request ON call_contents (request_id, called_ms, content_id)",
    "CREATE INDEX call_contents_due ON call_contents (kept_until_ms, content_id)",
};

constexpr std::array kMigrations{
    Migration{1, "API keys and settings", kKeysAndSettings},
    Migration{2, "imported models", kImportedModels},
    Migration{3, "attributes of keys, and tenants", kAttributesAndTenants},
    Migration{4, "second factors", kSecondFactors},
    Migration{5, "keys that follow one another", kKeySuccession},
    Migration{6, "webhooks and their deliveries", kWebhooks},
    Migration{7, "client certificates and keys that wait for their owners", kClientCertificates},
    Migration{8, "people who sign in", kPeople},
    Migration{9, "what waits for a second person", kApprovals},
    Migration{10, "sealed rows of client certificates", kSealedCertificates},
    Migration{11, "indexes of deliveries", kDeliveryIndexes},
    Migration{12, "webhooks that may lead to internal addresses", kInternalWebhooks},
    Migration{13, "leaks whose records are still to be made", kOpenLeaks},
    Migration{14, "kept content and legal holds", kOversight},
};

}  // namespace

std::span<const Migration> migrations() {
  return kMigrations;
}

}  // namespace deepmoat::store
