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
  if (holds_.uncertain()) {
    return;  // nothing may be deleted, and no time counts as dealt with
  }
  const UnixMillis last_ms = review::last_retention_ms(log_.directory());
  const bool released = holds_.newest_release_ms() >= last_ms;
  const bool day_over = clock_.unix_ms() >= last_ms + kDayMs;
  // By a clock that nobody sets, too: a run takes two days for passed at most, once a day.
  const MonoNanos now_ns = clock_.mono_ns();
  const bool ran_today = last_run_ns_ && now_ns - *last_run_ns_ < kDayMs * 1'000'000;
  if (last_ms != 0 && !released && (!day_over || ran_today)) {
    return;
  }
  // The first one of a process reads all: the policy may be another one than before.
  const bool first = !last_run_ns_;
  last_run_ns_ = now_ns;
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
       .held_generation = [this] { return holds_.generation(); },
       .stop = &stopping_,
       .read_all = released || first});
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
