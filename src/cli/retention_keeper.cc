#include "cli/retention_keeper.h"

#include <chrono>
#include <utility>

#include "base/log.h"
#include "review/audit_index.h"
#include "review/retention_run.h"

namespace deepmoat::cli {

audit::RetentionPolicy retention_policy(const Config& config) {
  return {.days = config.audit.keep_days,
          .personal_days = config.audit.keep_personal_days,
          .medical_days = config.audit.keep_medical_days,
          .medical_tenants = config.audit.medical_tenants};
}

RetentionKeeper::RetentionKeeper(audit::Log& log, std::filesystem::path index,
                                 const oversight::LegalHolds& holds, audit::RetentionPolicy policy,
                                 const Clock& clock, std::function<void()> hourly)
    : log_(log),
      index_(std::move(index)),
      holds_(holds),
      policy_(std::move(policy)),
      clock_(clock),
      hourly_(std::move(hourly)),
      thread_([this] { run(); }) {}

RetentionKeeper::~RetentionKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ending_.notify_one();
  thread_.join();
}

void RetentionKeeper::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    hourly_();
    look();
    lock.lock();
    ending_.wait_for(lock, std::chrono::hours(1), [this] { return stopping_.load(); });
  }
}

void RetentionKeeper::look() {
  const UnixMillis last_ms = review::last_retention_ms(log_.directory());
  const bool released = holds_.newest_release_ms() >= last_ms;
  if (last_ms != 0 && clock_.unix_ms() < last_ms + kDayMs && !released) {
    return;
  }
  const auto index = review::AuditIndex::open(index_);
  if (!index) {
    log::error("audit retention: the index cannot be opened", {{"error", index.error().message}});
    return;
  }
  const auto report = review::run_retention(
      {.log = log_,
       .index = **index,
       .clock = clock_,
       .policy = policy_,
       .held = [this](const audit::Record& record) { return holds_.held(record, record.unix_ms); },
       .stop = &stopping_,
       .read_all = released});
  if (!report) {
    log::error("audit retention: nothing further is deleted", {{"error", report.error().message}});
  } else if (report->removed > 0) {
    log::info("audit retention: the text of expired records is deleted",
              {{"records", report->removed},
               {"held", report->held},
               {"bytes_freed", report->bytes_freed}});
  }
}

}  // namespace deepmoat::cli
