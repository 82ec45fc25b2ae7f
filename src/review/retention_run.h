// A run of retention as the server does it once a day: on record before and after, the index
// forgets what the log does, and a clock that jumped deletes nothing.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>

#include "audit/log.h"
#include "audit/retention.h"
#include "base/clock.h"
#include "base/result.h"
#include "review/audit_index.h"

namespace deepmoat::review {

// A run takes at most this much time for passed since the run before it: a clock that was set
// forward, by a mistake or an attacker, would else let everything expire at once. A server that was
// off catches up day by day.
inline constexpr UnixMillis kRetentionStepMs = 2 * kDayMs;

struct RetentionParts {
  audit::Log& log;
  AuditIndex& index;
  const Clock& clock;
  audit::RetentionPolicy policy;
  audit::Held held;  // legal holds
  audit::HeldGeneration held_generation = nullptr;
  const std::atomic<bool>* stop = nullptr;  // ends early
  std::string operator_id = "deepmoat";     // for the record
  // An operator's word that the clock is right: the step above does not bind.
  bool clock_is_right = false;
  // Segments are read although a run has read them: after a legal hold was released.
  bool read_all = false;
};

// One at a time for each log. The first run of an installation only notes the time. Blocking, as
// long as reading the segments in which something can have expired takes.
[[nodiscard]] Result<audit::RetentionReport> run_retention(const RetentionParts& parts);

// The time that the last run took for now; 0: there was none.
[[nodiscard]] UnixMillis last_retention_ms(const std::filesystem::path& log_folder);

// The time that deleting goes by when the clock says `unix_ms`: at most kRetentionStepMs after the
// last run, and 0 before there was one.
[[nodiscard]] UnixMillis retention_now_ms(const std::filesystem::path& log_folder,
                                          UnixMillis unix_ms);

}  // namespace deepmoat::review
