// The embedded database of a data folder: SQLite through SOCI, in WAL mode with full sync.
// Blocking, and used from one thread at a time: the caller's blocking thread. One process holds it
// (the data folder's lock), so rows change under nobody's feet.
#pragma once

#include <filesystem>
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
  std::string row_mac;  // HMAC over all of the above, 64 hex digits (docs/formats/keys.md)

  bool operator==(const KeyRow&) const = default;
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
  class Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::store
