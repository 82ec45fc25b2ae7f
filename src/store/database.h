// The embedded database of a data folder: SQLite through SOCI, in WAL mode with full sync.
// Blocking, and used from one thread at a time: the caller's blocking thread. One process holds it
// (the data folder's lock), so rows change under nobody's feet.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::store {

// One API key as it is stored. No column holds the key, its MAC or its salt.
struct KeyRow {
  std::string key_id;  // "key_" + 24 hex digits
  std::string lookup;  // HMAC(pepper, shown key), 64 hex digits; unique
  std::string client_id;
  std::string kind;  // "live", "ops", "adm", "aud"
  std::string role;  // "user", "operator", "admin", "auditor"
  std::string tenant;
  std::string label;  // free text of the administrator
  UnixMillis created_ms = 0;
  UnixMillis expires_ms = 0;
  UnixMillis revoked_ms = 0;  // 0 = not revoked
  std::string revoke_reason;
  // What the key is bound to (identity/key_attributes.h); empty and 0: nothing. A list is its
  // entries with a line feed between them.
  std::string models = {};
  std::string adapter = {};
  bool adapter_only = false;
  std::string ip_ranges = {};
  std::string data_class = {};
  std::string scopes = {};
  std::int64_t requests_per_minute = 0;
  std::int64_t tokens_per_minute = 0;
  std::int64_t concurrent_calls = 0;
  std::string labels = {};  // name=value
  // Keys that follow one another (identity/key_rotation.h).
  std::string predecessor = {};     // key id of the key that this one took the place of
  std::string lineage = {};         // key id of the first of the line; empty: it is that itself
  UnixMillis overlap_until_ms = 0;  // end of a key that was rotated; 0 = it was not
  // HMAC over all of the above, 64 hex digits (docs/formats/keys.md). Version 1 is of rows from
  // before there was anything to bind a key to.
  std::int64_t mac_version = 1;
  std::string row_mac = {};

  bool operator==(const KeyRow&) const = default;
};

// A department; its keys name it.
struct TenantRow {
  std::string name;
  std::string organisation;  // that it belongs to; empty: none
  std::string label;         // free text of the administrator
  UnixMillis created_ms = 0;

  bool operator==(const TenantRow&) const = default;
};

// One imported version of a model or adapter (catalog/catalog.h says what each field means).
struct ModelRow {
  std::string name;
  std::int64_t number = 0;  // within the name; from 1
  std::string kind;         // "model", "adapter"
  std::string sha256;       // of the file, 64 hex digits; unique within the name
  std::string file;         // relative to the folder of models
  std::int64_t bytes = 0;
  std::string quantisation;
  std::string architecture;
  std::int64_t parameters = 0;
  std::string task;
  std::string base;  // of an adapter: the model's name
  std::string source;
  std::string source_sha256;
  std::string imported_by;
  std::string tool;
  std::string measurements;  // JSON
  bool pinned = false;
  UnixMillis created_ms = 0;

  bool operator==(const ModelRow&) const = default;
};

// A client's second factor: what makes one-time passwords (identity/second_factor.h says what each
// field means). No column holds the secret or a recovery code in the open.
struct SecondFactorRow {
  std::string tenant;
  std::string client_id;
  std::string algorithm;  // "totp-sha1", "totp-sha256", "totp-sm3"
  std::string secret;     // sealed by a crypto::FieldCipher, in hex
  std::string recovery;   // a MAC of 64 hex digits for each unused code, one after the other
  UnixMillis enrolled_ms = 0;
  UnixMillis confirmed_ms = 0;    // 0 = it does not count yet
  std::int64_t last_counter = 0;  // of the newest code that was accepted
  std::int64_t failures = 0;      // in a row
  UnixMillis locked_until_ms = 0;
  std::string row_mac;  // HMAC over all of the above, 64 hex digits

  bool operator==(const SecondFactorRow&) const = default;
};

class Database {
 public:
  // Opens or creates the file (mode 0600) and applies the migrations that it lacks.
  // Code::unavailable when it was written by a newer program, Code::corrupt when it is no database.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path);
  ~Database();

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Durable when they return. Code::already_exists for a key id or lookup that is there.
  Result<> insert_key(const KeyRow& row);
  // Replaces the row with the same key id. Code::not_found when there is none.
  Result<> update_key(const KeyRow& row);
  // Code::not_found when there is none.
  Result<KeyRow> find_key(std::string_view key_id);
  // Oldest first.
  Result<std::vector<KeyRow>> list_keys();

  // Code::already_exists for a name that is there.
  Result<> insert_tenant(const TenantRow& row);
  // The same, but one that is there stays as it is.
  Result<> ensure_tenant(const TenantRow& row);
  // Replaces the row with the same name. Code::not_found when there is none.
  Result<> update_tenant(const TenantRow& row);
  // Sorted by name.
  Result<std::vector<TenantRow>> list_tenants();
  // Replaces the row of the same tenant and client, or adds it.
  Result<> put_second_factor(const SecondFactorRow& row);
  Result<std::optional<SecondFactorRow>> find_second_factor(std::string_view tenant,
                                                            std::string_view client_id);
  // Code::not_found when there is none.
  Result<> erase_second_factor(std::string_view tenant, std::string_view client_id);

  // All that `body` writes becomes durable together, or, when it fails, none of it. Not for
  // insert_model(), which has a transaction of its own.
  Result<> transaction(const std::function<Result<>()>& body);

  // Code::already_exists for a number or a SHA-256 that the name has.
  Result<> insert_model(const ModelRow& row);
  // By name, then number. Empty name: all.
  Result<std::vector<ModelRow>> list_models(std::string_view name);
  // At most one version of a name is pinned; number 0: none. Code::not_found.
  Result<> pin_model(std::string_view name, std::int64_t number);
  // Code::not_found when there is none.
  Result<> erase_model(std::string_view name, std::int64_t number);
  // The next number of a name; one that was used is never used again.
  Result<std::int64_t> next_model_number(std::string_view name);

  // Small facts about the whole installation, e.g. which key file it belongs to.
  Result<std::optional<std::string>> setting(std::string_view name);
  Result<> set_setting(std::string_view name, std::string_view value);

  // Number of the newest migration that is applied.
  Result<int> schema_version();

 private:
  friend class WebhookTable;  // rows of their own, over the same session
  friend class ClientTable;
  friend class PeopleTable;
  friend class ApprovalTable;
  friend class LeakTable;
  friend class OversightTable;
  class Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::store
