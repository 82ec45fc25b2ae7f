#include "review/retention_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/log.h"

namespace deepmoat::review {

namespace {

constexpr const char* kLastRunFile = "retention";
constexpr std::size_t kLastRunBytesMax = 64;

audit::Record retention_record(const RetentionParts& parts, audit::Phase phase) {
  audit::Record record;
  record.phase = phase;
  record.operation = audit::Operation::erase;
  record.tenant = "default";
  record.operator_id = parts.operator_id;
  record.authentication = "none";
  record.action = "audit.retention";
  record.resource = "audit log";
  return record;
}

Result<> note_run(const std::filesystem::path& log_folder, UnixMillis now_ms) {
  return write_file_atomic(log_folder / kLastRunFile, fmt::format("{}\n", now_ms), 0600);
}

}  // namespace

UnixMillis last_retention_ms(const std::filesystem::path& log_folder) {
  const auto text = read_file(log_folder / kLastRunFile, kLastRunBytesMax);
  UnixMillis last_ms = 0;
  if (text) {
    std::from_chars(text->data(), text->data() + text->size(), last_ms);
  }
  return last_ms;
}

UnixMillis retention_now_ms(const std::filesystem::path& log_folder, UnixMillis unix_ms) {
  const UnixMillis last_ms = last_retention_ms(log_folder);
  return last_ms == 0 ? 0 : std::min(unix_ms, last_ms + kRetentionStepMs);
}

Result<audit::RetentionReport> run_retention(const RetentionParts& parts) {
  const std::filesystem::path& folder = parts.log.directory();
  const UnixMillis last_ms = last_retention_ms(folder);
  UnixMillis now_ms = parts.clock.unix_ms();
  if (last_ms == 0 && !parts.clock_is_right) {
    CHECK_OK(note_run(folder, now_ms));
    return audit::RetentionReport{.until_ms = now_ms};
  }
  const UnixMillis slow_ms = retention_now_ms(folder, now_ms);
  if (!parts.clock_is_right && now_ms > slow_ms) {
    log::warn("audit retention: the clock is far ahead of the last run; it goes on step by step",
              {{"behind_days", (now_ms - last_ms) / kDayMs}});
    now_ms = slow_ms;
  }
  const audit::RetentionOptions options{.directory = folder,
                                        .now_ms = now_ms,
                                        .last_run_ms = parts.read_all ? 0 : last_ms,
                                        .held_generation = parts.held_generation,
                                        .stop = parts.stop};
  // Whoever makes the index anew beside us may have the old file open, and would put back what we
  // make it forget.
  CHECK_OK(require_complete(parts.index));
  // An intent only when there is something to delete: a day without is no event.
  audit::RetentionOptions look = options;
  look.dry_run = true;
  TRY(const audit::RetentionReport expected,
      audit::delete_expired(look, parts.policy, parts.held, nullptr));
  if (expected.removed == 0) {
    CHECK_OK(note_run(folder, std::max(now_ms, last_ms)));
    return expected;
  }
  audit::Record intent = retention_record(parts, audit::Phase::intent);
  intent.reason = fmt::format("{} records, {} held", expected.removed, expected.held);
  TRY(const std::uint64_t intent_sequence, parts.log.append_and_wait(intent));
  const auto done = audit::delete_expired(
      options, parts.policy, parts.held, [&](const std::vector<std::uint64_t>& sequences) {
        auto forgotten = parts.index.forget(sequences);
        return forgotten ? Result<>() : std::unexpected(forgotten.error());
      });
  audit::Record result = retention_record(parts, audit::Phase::result);
  result.intent_sequence = intent_sequence;
  result.outcome = done ? audit::Outcome::success : audit::Outcome::failed;
  result.reason = done ? fmt::format("{} records in {} files, {} held", done->removed,
                                     done->segments_rewritten, done->held)
                       : std::string(code_name(done.error().code));
  CHECK_OK(parts.log.append_and_wait(result));
  if (done && (parts.stop == nullptr || !parts.stop->load())) {
    CHECK_OK(note_run(folder, now_ms));
  }
  return done;
}

}  // namespace deepmoat::review
