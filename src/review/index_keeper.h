// Keeps the index up to date while a server writes the log.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/result.h"
#include "review/audit_index.h"

namespace deepmoat::review {

struct KeeperState {
  IndexState index;   // as of the last time that it caught up
  std::string error;  // of the last attempt; empty: it went well
};

// Thread-safe. Has a thread of its own, which writes; whoever reads opens a connection of his own.
class IndexKeeper {
 public:
  // Looks every 500 ms whether the log, `log_size` records by now, has grown. `log_size` is called
  // on any thread. An index that cannot be opened is tried again; the log goes on without it.
  IndexKeeper(std::filesystem::path log_folder, std::filesystem::path index_path,
              std::function<std::uint64_t()> log_size);
  ~IndexKeeper();  // within one batch
  IndexKeeper(const IndexKeeper&) = delete;
  IndexKeeper& operator=(const IndexKeeper&) = delete;

  // Blocks until the index is complete and holds record `sequence`, for milliseconds as a rule.
  // Code::unavailable when it does not within `patience`.
  [[nodiscard]] Result<> wait_for(std::uint64_t sequence, std::chrono::milliseconds patience);
  // The same for all that the log has by now.
  [[nodiscard]] Result<> wait_for_log(std::chrono::milliseconds patience) {
    return wait_for(log_size_(), patience);
  }

  // For one thread's reading. Code::unavailable while the index is not complete: one that was
  // deleted a moment ago must not look like a log without records.
  [[nodiscard]] Result<std::unique_ptr<AuditIndex>> open_reader() const;

  [[nodiscard]] KeeperState state() const;
  [[nodiscard]] const std::filesystem::path& log_folder() const { return log_folder_; }

 private:
  void run();
  Result<IndexState> catch_up();

  const std::filesystem::path log_folder_;
  const std::filesystem::path index_path_;
  const std::function<std::uint64_t()> log_size_;
  std::unique_ptr<AuditIndex> index_;  // the thread's own

  mutable std::mutex mutex_;
  std::condition_variable wanted_;
  std::condition_variable moved_;
  KeeperState state_;
  bool now_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace deepmoat::review
