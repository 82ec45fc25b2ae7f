// SOCI's session on the index's file: its schema, its errors, its transactions. For the .cc files
// of this folder only. One thread at a time.
#pragma once

#include <soci/soci.h>
#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "audit/tail.h"
#include "base/result.h"

namespace deepmoat::review {

// What SOCI threw, as an error of ours; `file` is the index's.
[[nodiscard]] Error error_of(const soci::soci_error& error, const std::string& file);

// soci::use() refers to its own temporaries, so it has to stand inside the call of exchange().
inline constexpr auto kUse = [](soci::statement& statement, auto& value) {
  statement.exchange(soci::use(value));
};
inline constexpr auto kInto = [](soci::statement& statement, auto& value) {
  statement.exchange(soci::into(value));
};

// How far the index has come, as it stands in it.
struct Progress {
  audit::TailPlace place;
  // The end of the log was reached since the table was made, so that it has its indexes. While it
  // is false what is asked of the table is about a part of the log only.
  bool complete = false;
};

class IndexSession {
 public:
  // Opens or creates the file (mode 0600). One that is no database, is damaged, or has the schema
  // of another version is begun anew: it holds nothing that is not in the log.
  static Result<std::unique_ptr<IndexSession>> open(const std::filesystem::path& path);

  // Runs `body`, turning an exception of SOCI into an error.
  template <class Body>
  auto guarded(const Body& body) -> decltype(body()) {
    try {
      return body();
    } catch (const soci::soci_error& error) {
      return std::unexpected(error_of(error, path_.string()));
    }
  }

  [[nodiscard]] soci::session& sql() { return session_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // Opens the file anew if somebody has deleted or replaced it.
  Result<> follow_the_file();

  // These throw what SOCI throws: call them within guarded().
  Progress progress();
  void set_place(const audit::TailPlace& place);
  void drop_and_create();
  void create_indexes();
  // As far as no reader still needs it.
  void empty_the_write_ahead_log();

 private:
  explicit IndexSession(std::filesystem::path path) : path_(std::move(path)) {}
  Result<> open_or_begin_anew();
  Result<> connect();
  Result<> ensure_schema();

  std::filesystem::path path_;
  soci::session session_;
  dev_t device_ = 0;  // of the file that is open
  ino_t inode_ = 0;
};

// BEGIN IMMEDIATE: the one writer; waits for another one to end. Rolls back unless committed.
class WriteTransaction {
 public:
  explicit WriteTransaction(soci::session& session);
  ~WriteTransaction();
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;
  void commit();

 private:
  soci::session& session_;
  bool open_ = true;
};

// All statements within see one state of the index, whoever writes meanwhile.
class ReadTransaction {
 public:
  explicit ReadTransaction(soci::session& session);
  ~ReadTransaction();
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

 private:
  soci::session& session_;
};

}  // namespace deepmoat::review
