// For this module's tests: a log that they write at the times they want, and its index.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audit/scratch_log.h"
#include "review/audit_index.h"
#include "review/query.h"

namespace deepmoat::review {

// Goes where a test moves it: both clocks together, or the wall clock alone.
class TestClock final : public Clock {
 public:
  explicit TestClock(UnixMillis start_ms) : unix_ms_(start_ms) {}
  [[nodiscard]] UnixMillis unix_ms() const override { return unix_ms_; }
  [[nodiscard]] MonoNanos mono_ns() const override { return mono_ns_; }

  void to(UnixMillis unix_ms) { pass(unix_ms - unix_ms_); }
  void pass(std::int64_t ms) {
    unix_ms_ += ms;
    mono_ns_ += std::clamp(ms, -kMonoMsMax, kMonoMsMax) * 1'000'000;  // 292 years are all it holds
  }
  void step(std::int64_t ms) { unix_ms_ += ms; }
  // The machine was off, and has been on again for `up_ms`.
  void boot(std::int64_t off_ms, std::int64_t up_ms) {
    unix_ms_ += off_ms + up_ms;
    mono_ns_ = up_ms * 1'000'000;
  }

 private:
  static constexpr std::int64_t kMonoMsMax = 30'000 * kDayMs;

  std::atomic<UnixMillis> unix_ms_;
  std::atomic<MonoNanos> mono_ns_ = 100 * kDayMs * 1'000'000;  // the machine's first boot is old
};

inline constexpr UnixMillis kHour = kDayMs / 24;

// A log with an index beside it.
class ScratchIndex {
 public:
  explicit ScratchIndex(UnixMillis start_ms, std::uint64_t segment_bytes = 1024 * 1024)
      : clock(start_ms), segment_bytes_(segment_bytes) {
    restart_log();
    open_index();
  }

  [[nodiscard]] std::filesystem::path index_path() const {
    return folder.log().parent_path() / "audit-index.db";
  }
  void restart_log() {
    log.reset();
    log = audit::open_log(folder, clock, segment_bytes_);
  }
  void open_index() {
    index.reset();
    auto opened = AuditIndex::open(index_path());
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    index = std::move(*opened);
  }

  std::uint64_t append(audit::Record record) {
    const auto sequence = log->append_and_wait(std::move(record));
    EXPECT_TRUE(sequence.has_value()) << (sequence ? "" : sequence.error().message);
    return sequence.value_or(0);
  }
  // An intent and its result; says the result's sequence.
  std::uint64_t append_both(audit::Record record) {
    audit::Record intent = record;
    intent.phase = audit::Phase::intent;
    intent.outcome = audit::Outcome::pending;
    record.phase = audit::Phase::result;
    record.intent_sequence = append(std::move(intent));
    return append(std::move(record));
  }
  std::uint64_t catch_up() {
    const auto added = index->catch_up(folder.log(), nullptr);
    EXPECT_TRUE(added.has_value()) << (added ? "" : added.error().message);
    return added.value_or(0);
  }

  audit::ScratchFolder folder;
  TestClock clock;
  std::unique_ptr<audit::Log> log;
  std::unique_ptr<AuditIndex> index;

 private:
  std::uint64_t segment_bytes_;
};

// A call's result.
inline audit::Record sample_call() {
  audit::Record record;
  record.phase = audit::Phase::result;
  record.outcome = audit::Outcome::success;
  record.operation = audit::Operation::execute;
  record.request_id = "req_1";
  record.tenant = "legal";
  record.operator_id = "crawler";
  record.key_id = "key_1";
  record.role = "user";
  record.authentication = "api_key";
  record.ip_address = "10.0.0.1";
  record.action = "chat.completions";
  record.resource = "qwen";
  record.route = "local";
  record.data_class = "internal";
  record.model = "qwen";
  record.model_version = "0123456789abcdef";
  record.tokens_in = 10;
  record.tokens_out = 20;
  record.bytes_out = 100;
  record.status = 200;
  return record;
}

// An administrator's change, its result.
inline audit::Record sample_change(std::string action, std::string resource) {
  audit::Record record;
  record.phase = audit::Phase::result;
  record.outcome = audit::Outcome::success;
  record.operation = audit::Operation::write;
  record.request_id = "req_2";
  record.tenant = "default";
  record.operator_id = "alice";
  record.key_id = "ses_1";
  record.role = "admin";
  record.authentication = "session";
  record.ip_address = "10.0.0.9";
  record.action = std::move(action);
  record.resource = std::move(resource);
  record.status = 200;
  return record;
}

// All rows that a filter finds, as JSON lines.
inline std::vector<std::string> lines(AuditIndex& index, Filter filter = {.phase = PhaseFilter::all,
                                                                          .limit = kQueryRowsMax}) {
  std::vector<std::string> found;
  const auto count = query(index, filter, [&](const audit::Entry& entry) {
    found.push_back(audit::to_json_line(entry));
  });
  EXPECT_TRUE(count.has_value()) << (count ? "" : count.error().message);
  EXPECT_EQ(count.value_or(0), found.size());
  return found;
}

inline std::vector<std::uint64_t> sequences(AuditIndex& index, const Filter& filter) {
  std::vector<std::uint64_t> found;
  const auto count =
      query(index, filter, [&](const audit::Entry& entry) { found.push_back(entry.sequence); });
  EXPECT_TRUE(count.has_value()) << (count ? "" : count.error().message);
  return found;
}

}  // namespace deepmoat::review
