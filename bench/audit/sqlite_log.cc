#include "sqlite_log.h"

#include <utility>

#include "audit/record_json.h"

namespace deepmoat::audit {

SqliteLog::SqliteLog(const std::string& path) {
  ok_ = sqlite3_open(path.c_str(), &database_) == SQLITE_OK && run("PRAGMA journal_mode=WAL") &&
        run("PRAGMA synchronous=FULL") &&
        run("CREATE TABLE IF NOT EXISTS log(sequence INTEGER PRIMARY KEY, body BLOB)") &&
        sqlite3_prepare_v2(database_, "INSERT INTO log(body) VALUES(?)", -1, &insert_, nullptr) ==
            SQLITE_OK;
  thread_ = std::thread([this] { commit_loop(); });
}

SqliteLog::~SqliteLog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  queued_.notify_one();
  thread_.join();
  sqlite3_finalize(insert_);
  sqlite3_close(database_);
}

std::uint64_t SqliteLog::enqueue(const Record& record, Done done) {
  std::string body = encode_record(record);
  std::uint64_t ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({.body = std::move(body), .done = std::move(done)});
    ticket = ++tickets_;
  }
  queued_.notify_one();
  return ticket;
}

void SqliteLog::append(const Record& record, Done done) {
  enqueue(record, std::move(done));
}

bool SqliteLog::append_and_wait(const Record& record) {
  const std::uint64_t ticket = enqueue(record, nullptr);
  for (;;) {
    const std::uint32_t seen = commits_.count();
    if (durable_.load() >= ticket) {
      return ok_;
    }
    commits_.wait(seen);
  }
}

bool SqliteLog::run(const char* sql) {
  return sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

// False when it ends and nothing is left.
bool SqliteLog::take_queue(std::vector<Waiting>& batch) {
  std::unique_lock lock(mutex_);
  queued_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
  batch.clear();
  batch.swap(queue_);
  return !batch.empty();
}

void SqliteLog::commit_loop() {
  std::vector<Waiting> batch;
  while (take_queue(batch)) {
    bool good = run("BEGIN IMMEDIATE");
    for (const auto& [body, done] : batch) {
      sqlite3_bind_blob(insert_, 1, body.data(), static_cast<int>(body.size()), SQLITE_STATIC);
      good = good && sqlite3_step(insert_) == SQLITE_DONE;
      sqlite3_reset(insert_);
    }
    ok_ = run("COMMIT") && good && ok_;
    durable_ += batch.size();
    commits_.advance();
    for (const auto& [body, done] : batch) {
      if (done) {
        done(ok_);
      }
    }
  }
}

}  // namespace deepmoat::audit
