// The opponent: records in SQLite, WAL with synchronous=FULL, and a group commit: a queue, one
// thread, one transaction for all that waits. No chain, no tree, no signature.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "audit/event_count.h"
#include "audit/record.h"

namespace deepmoat::audit {

// Thread-safe.
class SqliteLog {
 public:
  explicit SqliteLog(const std::string& path);
  ~SqliteLog();
  SqliteLog(const SqliteLog&) = delete;
  SqliteLog& operator=(const SqliteLog&) = delete;

  // False when anything went wrong so far. Called on the commit thread.
  using Done = std::function<void(bool durable)>;
  void append(const Record& record, Done done);

  // Blocks until it is durable.
  bool append_and_wait(const Record& record);

 private:
  struct Waiting {
    std::string body;
    Done done;  // none: somebody blocks
  };

  bool run(const char* sql);
  std::uint64_t enqueue(const Record& record, Done done);
  void commit_loop();
  bool take_queue(std::vector<Waiting>& batch);

  sqlite3* database_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  std::atomic<bool> ok_ = true;
  std::mutex mutex_;
  std::condition_variable queued_;
  std::vector<Waiting> queue_;
  std::uint64_t tickets_ = 0;
  bool stopping_ = false;
  std::atomic<std::uint64_t> durable_ = 0;
  EventCount commits_;
  std::thread thread_;
};

}  // namespace deepmoat::audit
