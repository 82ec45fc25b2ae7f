// SQLite through SOCI. One thread at a time; SOCI's exceptions end here.
#include "store/database.h"

#include <fcntl.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <utility>

#include "base/file.h"
#include "store/database_impl.h"
#include "store/migrations.h"

namespace deepmoat::store {

namespace {

constexpr int kResultCodeBits = 0xff;  // SQLite's extended codes keep the primary one here

constexpr std::string_view kColumns =
    "key_id, lookup, client_id, kind, role, tenant, label, created_ms, expires_ms, revoked_ms, "
    "revoke_reason, models, adapter, adapter_only, ip_ranges, data_class, scopes, "
    "requests_per_minute, tokens_per_minute, concurrent_calls, labels, predecessor, lineage, "
    "overlap_until_ms, mac_version, row_mac";

// SOCI binds long long; the fixed-width types are long on this platform.
struct BoundRow {
  explicit BoundRow(KeyRow from)
      : row(std::move(from)),
        created_ms(row.created_ms),
        expires_ms(row.expires_ms),
        revoked_ms(row.revoked_ms),
        adapter_only(row.adapter_only ? 1 : 0),
        requests_per_minute(row.requests_per_minute),
        tokens_per_minute(row.tokens_per_minute),
        concurrent_calls(row.concurrent_calls),
        overlap_until_ms(row.overlap_until_ms),
        mac_version(row.mac_version) {}
  BoundRow() = default;

  KeyRow row;
  long long created_ms = 0;
  long long expires_ms = 0;
  long long revoked_ms = 0;
  long long adapter_only = 0;
  long long requests_per_minute = 0;
  long long tokens_per_minute = 0;
  long long concurrent_calls = 0;
  long long overlap_until_ms = 0;
  long long mac_version = 0;

  // One list of columns for reading and for writing.
  template <class Bind>
  void bind_all(soci::statement& statement, const Bind& bind) {
    bind(statement, row.key_id);
    bind(statement, row.lookup);
    bind(statement, row.client_id);
    bind(statement, row.kind);
    bind(statement, row.role);
    bind(statement, row.tenant);
    bind(statement, row.label);
    bind(statement, created_ms);
    bind(statement, expires_ms);
    bind(statement, revoked_ms);
    bind(statement, row.revoke_reason);
    bind(statement, row.models);
    bind(statement, row.adapter);
    bind(statement, adapter_only);
    bind(statement, row.ip_ranges);
    bind(statement, row.data_class);
    bind(statement, row.scopes);
    bind(statement, requests_per_minute);
    bind(statement, tokens_per_minute);
    bind(statement, concurrent_calls);
    bind(statement, row.labels);
    bind(statement, row.predecessor);
    bind(statement, row.lineage);
    bind(statement, overlap_until_ms);
    bind(statement, mac_version);
    bind(statement, row.row_mac);
  }

  [[nodiscard]] KeyRow taken() const {
    KeyRow copy = row;
    copy.created_ms = created_ms;
    copy.expires_ms = expires_ms;
    copy.revoked_ms = revoked_ms;
    copy.adapter_only = adapter_only != 0;
    copy.requests_per_minute = requests_per_minute;
    copy.tokens_per_minute = tokens_per_minute;
    copy.concurrent_calls = concurrent_calls;
    copy.mac_version = mac_version;
    copy.overlap_until_ms = overlap_until_ms;
    return copy;
  }
};

}  // namespace

Error error_of(const soci::soci_error& error, const std::string& file) {
  const std::string message = "database " + file + ": " + error.get_error_message();
  const auto* const sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
  switch (sqlite != nullptr ? sqlite->result() & kResultCodeBits : 0) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {Code::corrupt, message + "; restore it from a backup"};
    case SQLITE_CONSTRAINT:
      return {Code::already_exists, message};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::unavailable, message + "; another program holds it"};
    default:
      return {Code::io, message};
  }
}

Result<> Database::Impl::connect() {
  if (path_.string().find('"') != std::string::npos) {
    return fail(Code::invalid_argument, "database path: must not hold a double quote");
  }
  // SQLite would create it with the umask's rights; its -wal and -shm files take over ours.
  TRY(const UniqueFd file, open_file(path_, O_RDWR | O_CREAT, 0600));
  return guarded([&]() -> Result<> {
    session_.open(*soci::factory_sqlite3(), "dbname=\"" + path_.string() + "\" timeout=5");
    std::string mode;
    session_ << "PRAGMA journal_mode = WAL", soci::into(mode);
    if (mode != "wal") {
      return fail(Code::io, "database " + path_.string() + ": this file system cannot do " +
                                "write-ahead logging; use a local one");
    }
    session_ << "PRAGMA synchronous = FULL";  // an acknowledged key survives a power cut
    session_ << "PRAGMA foreign_keys = ON";
    session_ << "PRAGMA trusted_schema = OFF";
    session_ << "PRAGMA secure_delete = ON";  // what is deleted is overwritten
    return {};
  });
}

int Database::Impl::applied_version() {
  int version = 0;
  session_ << "SELECT coalesce(max(version), 0) FROM schema_migrations", soci::into(version);
  return version;
}

Result<> Database::Impl::migrate() {
  return guarded([&]() -> Result<> {
    session_ << "CREATE TABLE IF NOT EXISTS schema_migrations ("
                "version INTEGER NOT NULL PRIMARY KEY, title TEXT NOT NULL) STRICT";
    const int applied = applied_version();
    const int newest = migrations().back().version;
    if (applied > newest) {
      return fail(Code::unavailable,
                  "database " + path_.string() + " has form " + std::to_string(applied) +
                      " of a newer program; this one knows forms up to " + std::to_string(newest) +
                      ": install the newer program or restore an older backup");
    }
    for (const Migration& migration : migrations()) {
      if (migration.version <= applied) {
        continue;
      }
      soci::transaction transaction(session_);
      for (const std::string_view statement : migration.statements) {
        session_ << std::string(statement);
      }
      const std::string title(migration.title);
      session_ << "INSERT INTO schema_migrations (version, title) VALUES (:version, :title)",
          soci::use(migration.version), soci::use(title);
      transaction.commit();
    }
    return {};
  });
}

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>(path);
  CHECK_OK(impl->connect());
  CHECK_OK(impl->migrate());
  return std::unique_ptr<Database>(new Database(std::move(impl)));
}

Result<> Database::insert_key(const KeyRow& row) {
  return impl_->guarded([&]() -> Result<> {
    BoundRow bound(row);
    soci::statement statement(impl_->session_);
    bound.bind_all(statement, kUse);
    statement.alloc();
    statement.prepare("INSERT INTO api_keys (" + std::string(kColumns) +
                      ") VALUES (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l, :m, :n, :o, :p, "
                      ":q, :r, :s, :t, :u, :v, :w, :x, :y, :z)");
    statement.define_and_bind();
    statement.execute(true);
    return {};
  });
}

Result<> Database::update_key(const KeyRow& row) {
  return impl_->guarded([&]() -> Result<> {
    BoundRow bound(row);
    soci::statement statement(impl_->session_);
    bound.bind_all(statement, kUse);
    statement.exchange(soci::use(bound.row.key_id));
    statement.alloc();
    statement.prepare(
        "UPDATE api_keys SET key_id = :a, lookup = :b, client_id = :c, kind = :d, role = :e, "
        "tenant = :f, label = :g, created_ms = :h, expires_ms = :i, revoked_ms = :j, "
        "revoke_reason = :k, models = :l, adapter = :m, adapter_only = :n, ip_ranges = :o, "
        "data_class = :p, scopes = :q, requests_per_minute = :r, tokens_per_minute = :s, "
        "concurrent_calls = :t, labels = :u, predecessor = :v, lineage = :w, overlap_until_ms = "
        ":x, "
        "mac_version = :y, row_mac = :z WHERE key_id = :id");
    statement.define_and_bind();
    statement.execute(true);
    if (statement.get_affected_rows() != 1) {
      return fail(Code::not_found, "no key " + row.key_id);
    }
    return {};
  });
}

Result<KeyRow> Database::find_key(std::string_view key_id) {
  return impl_->guarded([&]() -> Result<KeyRow> {
    const std::string wanted(key_id);
    BoundRow bound;
    soci::statement statement(impl_->session_);
    bound.bind_all(statement, kInto);
    statement.exchange(soci::use(wanted));
    statement.alloc();
    statement.prepare("SELECT " + std::string(kColumns) + " FROM api_keys WHERE key_id = :id");
    statement.define_and_bind();
    if (!statement.execute(true)) {
      return fail(Code::not_found, "no key " + wanted);
    }
    return bound.taken();
  });
}

Result<std::vector<KeyRow>> Database::list_keys() {
  return impl_->guarded([&]() -> Result<std::vector<KeyRow>> {
    BoundRow bound;
    soci::statement statement(impl_->session_);
    bound.bind_all(statement, kInto);
    statement.alloc();
    statement.prepare("SELECT " + std::string(kColumns) +
                      " FROM api_keys ORDER BY created_ms, key_id");
    statement.define_and_bind();
    statement.execute(false);
    std::vector<KeyRow> rows;
    while (statement.fetch()) {
      rows.push_back(bound.taken());
    }
    return rows;
  });
}

Result<std::optional<std::string>> Database::setting(std::string_view name) {
  return impl_->guarded([&]() -> Result<std::optional<std::string>> {
    const std::string wanted(name);
    std::string value;
    impl_->session_ << "SELECT value FROM settings WHERE name = :name", soci::use(wanted),
        soci::into(value);
    return impl_->session_.got_data() ? std::optional(value) : std::nullopt;
  });
}

Result<> Database::set_setting(std::string_view name, std::string_view value) {
  return impl_->guarded([&]() -> Result<> {
    const std::string name_text(name);
    const std::string value_text(value);
    impl_->session_ << "INSERT INTO settings (name, value) VALUES (:name, :value) "
                       "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        soci::use(name_text), soci::use(value_text);
    return {};
  });
}

Result<> Database::transaction(const std::function<Result<>()>& body) {
  return impl_->guarded([&]() -> Result<> {
    soci::transaction transaction(impl_->session_);  // rolls back when it is not committed
    CHECK_OK(body());
    transaction.commit();
    return {};
  });
}

Result<int> Database::schema_version() {
  return impl_->guarded([&]() -> Result<int> { return impl_->applied_version(); });
}

}  // namespace deepmoat::store
