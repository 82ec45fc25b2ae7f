// The opponent: records in SQLite, WAL with synchronous=FULL, and a group commit: a queue, one
// thread, one transaction for all that waits. No chain, no tree, no signature.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "audit/record.h"

namespace deepmoat::audit {

// Thread-safe.
class SqliteLog {
 public:
  explicit SqliteLog(const std::string& path);
  ~SqliteLog();
  SqliteLog(const SqliteLog&) = delete;
  SqliteLog& operator=(const SqliteLog&) = delete;

  // Blocks until it is durable; false when anything went wrong so far.
  bool append_and_wait(const Record& record);

 private:
  bool run(const char* sql);
  void commit_loop();
  bool take_queue(std::vector<std::string>& batch);

  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  std::atomic<bool> ok_ = true;
  std::mutex mutex_;
  std::condition_variable queued_;
  std::vector<std::string> queue_;
  std::uint64_t tickets_ = 0;
  bool stopping_ = false;
  std::atomic<std::uint64_t> durable_ = 0;
  std::atomic<std::uint32_t> commits_ = 0;
  std::thread thread_;
};

}  // namespace deepmoat::audit
