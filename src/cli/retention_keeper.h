// Deletes the text of expired audit records once a day, on a thread of its own beside a server.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "audit/log.h"
#include "audit/retention.h"
#include "base/clock.h"
#include "base/config.h"
#include "oversight/legal_hold.h"

namespace deepmoat::cli {

// For how long the configuration lets records keep their text.
[[nodiscard]] audit::RetentionPolicy retention_policy(const Config& config);

class RetentionKeeper {
 public:
  // Looks at once, and then every hour whether a day has passed; `hourly` is called then too. All
  // outlive it.
  RetentionKeeper(audit::Log& log, std::filesystem::path index, const oversight::LegalHolds& holds,
                  audit::RetentionPolicy policy, const Clock& clock, std::function<void()> hourly);
  ~RetentionKeeper();  // a run that is under way ends with the file that it is at
  RetentionKeeper(const RetentionKeeper&) = delete;
  RetentionKeeper& operator=(const RetentionKeeper&) = delete;

 private:
  void run();
  void look();

  audit::Log& log_;
  const std::filesystem::path index_;
  const oversight::LegalHolds& holds_;
  const audit::RetentionPolicy policy_;
  const Clock& clock_;
  const std::function<void()> hourly_;
  std::mutex mutex_;
  std::condition_variable ending_;
  std::atomic<bool> stopping_ = false;
  std::optional<MonoNanos> last_run_ns_;  // the thread's own
  std::thread thread_;
};

}  // namespace deepmoat::cli
