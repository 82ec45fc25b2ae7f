// SQLite through SOCI. SOCI's exceptions end in guarded().
#include "review/index_session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"

namespace deepmoat::review {

namespace {

constexpr int kSchemaVersion = 1;
constexpr int kResultCodeBits = 0xff;  // SQLite's extended codes keep the primary one here
constexpr int kBusySeconds = 10;       // a transaction of another process takes a fraction of it

// Numbers are NOT NULL and 0 where the record has none, texts are empty.
constexpr std::array<std::string_view, 4> kTables{
    R"sql(
CREATE TABLE records (
  sequence           INTEGER NOT NULL PRIMARY KEY,
  segment            INTEGER NOT NULL,
  frame_offset       INTEGER NOT NULL,
  result_sequence    INTEGER NOT NULL,
  unix_ms            INTEGER NOT NULL,
  phase              TEXT    NOT NULL CHECK (phase IN ('intent', 'result')),
  operation_type     TEXT    NOT NULL
                     CHECK (operation_type IN ('READ','WRITE','DELETE','EXECUTE')),
  outcome            TEXT    NOT NULL
                     CHECK (outcome IN ('pending', 'success', 'refused', 'failed', 'cancelled')),
  mono_ns            INTEGER NOT NULL,
  request_id         TEXT    NOT NULL,
  intent_sequence    INTEGER NOT NULL,
  tenant             TEXT    NOT NULL,
  operator           TEXT    NOT NULL,
  key_id             TEXT    NOT NULL,
  role               TEXT    NOT NULL,
  authentication     TEXT    NOT NULL,
  ip_address         TEXT    NOT NULL,
  action             TEXT    NOT NULL,
  resource           TEXT    NOT NULL,
  route              TEXT    NOT NULL,
  data_class         TEXT    NOT NULL,
  model              TEXT    NOT NULL,
  model_version      TEXT    NOT NULL,
  adapter            TEXT    NOT NULL,
  adapter_version    TEXT    NOT NULL,
  knowledge          TEXT    NOT NULL,
  input_fingerprint  TEXT    NOT NULL,
  output_fingerprint TEXT    NOT NULL,
  content            TEXT    NOT NULL,
  tokens_in          INTEGER NOT NULL,
  tokens_cached      INTEGER NOT NULL,
  tokens_out         INTEGER NOT NULL,
  bytes_out          INTEGER NOT NULL,
  queue_ms           INTEGER NOT NULL,
  first_token_ms     INTEGER NOT NULL,
  duration_ms        INTEGER NOT NULL,
  status             INTEGER NOT NULL,
  reason             TEXT    NOT NULL
) STRICT)sql",
    R"sql(
CREATE TABLE progress (
  id            INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  segment       INTEGER NOT NULL,
  next_offset   INTEGER NOT NULL,
  last_offset   INTEGER NOT NULL,
  next_sequence INTEGER NOT NULL,
  last_hash     TEXT    NOT NULL,
  complete      INTEGER NOT NULL
) STRICT)sql",
    R"sql(
INSERT INTO progress VALUES (1, 1, 0, 0, 1,
  '0000000000000000000000000000000000000000000000000000000000000000', 0))sql",
    // One row an operation. The time is written as audit::format_time() writes it.
    R"sql(
CREATE VIEW audit_log (id, operator, operation_type, resource_id, timestamp, ip_address) AS
SELECT sequence, operator, operation_type,
       CASE WHEN resource <> '' THEN resource WHEN model <> '' THEN model ELSE action END,
       CASE WHEN unix_ms BETWEEN 0 AND 253402300799999
            THEN strftime('%Y-%m-%dT%H:%M:%S', unix_ms / 1000, 'unixepoch') ||
                 printf('.%03dZ', unix_ms % 1000)
            ELSE CAST(unix_ms AS TEXT) END,
       ip_address
FROM records WHERE result_sequence = 0)sql"};

// Made once the end of the log was reached: to sort all of it at once is several times quicker
// than to keep their trees in order from the first record on.
constexpr std::array<std::string_view, 10> kIndexes{
    "records_by_request ON records (request_id)", "records_by_time ON records (unix_ms)",
    "records_by_tenant ON records (tenant, unix_ms)", "records_by_key ON records (key_id, unix_ms)",
    "records_by_operator ON records (operator, unix_ms)",
    // Small ones, for the monthly figures and the lineage. A statement uses one only if it says
    // the same condition in the same words.
    "records_by_model_version ON records (model_version) WHERE model_version <> ''",
    "records_by_adapter_version ON records (adapter_version) WHERE adapter_version <> ''",
    "records_refused ON records (unix_ms) WHERE outcome = 'refused'",
    "records_changed ON records (unix_ms) "
    "WHERE operation_type <> 'EXECUTE' AND operation_type <> 'READ'",
    "records_changed_by_action ON records (action) "
    "WHERE operation_type <> 'EXECUTE' AND operation_type <> 'READ'"};

// What SQLite keeps beside a database belongs to that very file.
void remove_side_files(const std::filesystem::path& path) {
  std::error_code ignored;
  for (const char* const ending : {"-wal", "-shm", "-journal"}) {
    std::filesystem::remove(path.string() + ending, ignored);
  }
}

// Held while a file is made or taken away, so that no process opens it half-way: an exclusive
// flock(2) on the folder, until the descriptor is closed.
Result<UniqueFd> lock_folder(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  TRY(UniqueFd folder, open_file(parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY));
  int locked = 0;
  do {
    locked = ::flock(folder.get(), LOCK_EX);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0) {
    return fail_errno(Code::io, "lock " + parent.string());
  }
  return folder;
}

}  // namespace

Error error_of(const soci::soci_error& error, const std::string& file) {
  const std::string message = "audit index " + file + ": " + error.get_error_message();
  const auto* const sqlite = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
  switch (sqlite != nullptr ? sqlite->result() & kResultCodeBits : 0) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {Code::corrupt, message + "; delete it: it is made again from the log"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::unavailable, message + "; another program writes it"};
    default:
      return {Code::io, message};
  }
}

WriteTransaction::WriteTransaction(soci::session& session) : session_(session) {
  session_ << "BEGIN IMMEDIATE";
}

WriteTransaction::~WriteTransaction() {
  if (!open_) {
    return;
  }
  try {
    session_ << "ROLLBACK";
  } catch (const soci::soci_error&) {
    // SQLite has rolled it back by itself, as it does after a full disk.
  }
}

void WriteTransaction::commit() {
  session_ << "COMMIT";
  open_ = false;
}

ReadTransaction::ReadTransaction(soci::session& session) : session_(session) {
  session_ << "BEGIN";
}

ReadTransaction::~ReadTransaction() {
  try {
    session_ << "ROLLBACK";
  } catch (const soci::soci_error&) {
    // Nothing was written, so nothing is lost.
  }
}

Result<std::unique_ptr<IndexSession>> IndexSession::open(const std::filesystem::path& path) {
  std::unique_ptr<IndexSession> session(new IndexSession(path));
  CHECK_OK(session->open_or_begin_anew());
  return session;
}

Result<> IndexSession::open_or_begin_anew() {
  const auto opened = [this]() -> Result<> {
    CHECK_OK(connect());
    return ensure_schema();
  };
  const Result<> first = opened();
  if (first || first.error().code != Code::corrupt) {
    return first;
  }
  log::warn("the audit index cannot be read and is made again from the log",
            {{"file", path_.string()}, {"why", first.error().message}});
  session_.close();
  {
    TRY(const UniqueFd held, lock_folder(path_));
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
    remove_side_files(path_);
  }
  return opened();
}

Result<> IndexSession::connect() {
  if (path_.string().find('"') != std::string::npos) {
    return fail(Code::invalid_argument, "audit index path: must not hold a double quote");
  }
  TRY(const UniqueFd held, lock_folder(path_));
  struct stat status{};
  // A file that is there is not opened by us: to close it would take the locks away that SQLite
  // holds on it for other connections of this process (sqlite.org/howtocorrupt.html, 2.2).
  if (::lstat(path_.c_str(), &status) != 0) {
    // Left by a file that was deleted while a process had it open: it uses them still.
    remove_side_files(path_);
    // SQLite would create it with the umask's rights; its -wal and -shm files take over ours.
    TRY(const UniqueFd file, open_file(path_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    if (::fstat(file.get(), &status) != 0) {
      return fail_errno(Code::io, "stat " + path_.string());
    }
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(Code::io, "audit index " + path_.string() + ": not a file");
  }
  device_ = status.st_dev;
  inode_ = status.st_ino;
  return guarded([&]() -> Result<> {
    session_.open(*soci::factory_sqlite3(),
                  fmt::format("dbname=\"{}\" timeout={}", path_.string(), kBusySeconds));
    std::string mode;
    session_ << "PRAGMA journal_mode = WAL", soci::into(mode);
    if (mode != "wal") {
      return fail(Code::io, "audit index " + path_.string() + ": this file system cannot do " +
                                "write-ahead logging; use a local one");
    }
    int ignored = 0;
    // A power cut may take the newest rows; the log has them.
    session_ << "PRAGMA synchronous = NORMAL";
    // The indexes' pages that are written to all the time: without them in memory a record costs
    // twice as much.
    session_ << "PRAGMA cache_size = -32768";
    session_ << "PRAGMA wal_autocheckpoint = 16384", soci::into(ignored);
    // What retention deletes is overwritten, not only unlinked.
    session_ << "PRAGMA secure_delete = ON", soci::into(ignored);
    session_ << "PRAGMA trusted_schema = OFF";
    return {};
  });
}

Result<> IndexSession::ensure_schema() {
  return guarded([&]() -> Result<> {
    int version = 0;
    session_ << "PRAGMA user_version", soci::into(version);
    if (version == kSchemaVersion) {
      return {};
    }
    WriteTransaction transaction(session_);
    session_ << "PRAGMA user_version", soci::into(version);  // another process was quicker
    if (version == kSchemaVersion) {
      return {};
    }
    if (version != 0) {
      log::warn("the audit index has another version's form and is made again from the log",
                {{"file", path_.string()}, {"version", version}});
    }
    drop_and_create();
    transaction.commit();
    return {};
  });
}

Result<> IndexSession::follow_the_file() {
  struct stat status{};
  if (::stat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) {
    return {};
  }
  log::warn("the audit index's file was deleted and is made again from the log",
            {{"file", path_.string()}});
  session_.close();
  return open_or_begin_anew();
}

Progress IndexSession::progress() {
  long long segment = 0;
  long long offset = 0;
  long long last_offset = 0;
  long long next_sequence = 0;
  std::string hash;
  int complete = 0;
  session_ << "SELECT segment, next_offset, last_offset, next_sequence, last_hash, complete "
              "FROM progress",
      soci::into(segment), soci::into(offset), soci::into(last_offset), soci::into(next_sequence),
      soci::into(hash), soci::into(complete);
  Progress progress{.place = {.segment = static_cast<std::uint64_t>(segment),
                              .offset = static_cast<std::uint64_t>(offset),
                              .last_offset = static_cast<std::uint64_t>(last_offset),
                              .chain = {.next_sequence = static_cast<std::uint64_t>(next_sequence),
                                        .last_hash = {}}},
                    .complete = complete != 0};
  // A hash that somebody has written into the file fits no record, and the index is made again.
  const Result<std::string> bytes = from_hex(hash);
  if (bytes && bytes->size() == progress.place.chain.last_hash.size()) {
    std::ranges::copy(*bytes, progress.place.chain.last_hash.begin());
  }
  return progress;
}

void IndexSession::set_place(const audit::TailPlace& place) {
  const auto segment = static_cast<long long>(place.segment);
  const auto offset = static_cast<long long>(place.offset);
  const auto last_offset = static_cast<long long>(place.last_offset);
  const auto next_sequence = static_cast<long long>(place.chain.next_sequence);
  const std::string hash = to_hex(crypto::view(place.chain.last_hash));
  session_ << "UPDATE progress SET segment = :segment, next_offset = :offset, "
              "last_offset = :last, next_sequence = :next, last_hash = :hash",
      soci::use(segment), soci::use(offset), soci::use(last_offset), soci::use(next_sequence),
      soci::use(hash);
}

void IndexSession::drop_and_create() {
  session_ << "DROP VIEW IF EXISTS audit_log";
  session_ << "DROP TABLE IF EXISTS records";
  session_ << "DROP TABLE IF EXISTS progress";
  for (const std::string_view statement : kTables) {
    session_ << std::string(statement);
  }
  session_ << fmt::format("PRAGMA user_version = {}", kSchemaVersion);
}

void IndexSession::create_indexes() {
  for (const std::string_view index : kIndexes) {
    session_ << fmt::format("CREATE INDEX IF NOT EXISTS {}", index);
  }
  session_ << "UPDATE progress SET complete = 1";
}

void IndexSession::empty_the_write_ahead_log() {
  int busy = 0;
  session_ << "PRAGMA wal_checkpoint(TRUNCATE)", soci::into(busy);
}

}  // namespace deepmoat::review
