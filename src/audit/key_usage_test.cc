// A key's usage, counted from a real log: what counts, from when on, and what damage does to it.
#include "audit/key_usage.h"

#include <gtest/gtest.h>

#include <map>

#include "audit/scratch_log.h"
#include "base/hex.h"

namespace deepmoat::audit {
namespace {

constexpr UnixMillis kStartMs = 1'795'000'000'000;

Record result_of(const std::string& key, const std::string& address = "192.0.2.1") {
  Record record;
  record.phase = Phase::result;
  record.outcome = Outcome::success;
  record.key_id = key;
  record.action = "chat.completions";
  record.model = "demo";
  record.route = "local";
  record.data_class = "internal";
  record.ip_address = address;
  record.tokens_in = 10;
  record.tokens_out = 3;
  record.bytes_out = 100;
  return record;
}

void append(Log& log, Record record) {
  ASSERT_TRUE(log.append_and_wait(std::move(record)));
}

std::map<std::string, std::uint64_t> calls(const std::vector<UsageCount>& counts) {
  std::map<std::string, std::uint64_t> by_value;
  for (const UsageCount& count : counts) {
    by_value[count.value] = count.calls;
  }
  return by_value;
}

using Calls = std::map<std::string, std::uint64_t>;

TEST(KeyUsage, CountsOneKeyAndNobodyElse) {
  const ScratchFolder folder;
  ManualClock clock(kStartMs);
  const auto log = open_log(folder, clock);
  append(*log, result_of("key_a"));
  clock.advance_ms(1000);
  append(*log, result_of("key_b"));
  append(*log, result_of("key_a", "192.0.2.2"));
  Record remote = result_of("key_a");
  remote.route = "partner";
  remote.outcome = Outcome::failed;
  append(*log, remote);
  remote.outcome = Outcome::refused;  // nothing left
  append(*log, remote);
  clock.advance_ms(kDayMs);
  Record change = result_of("key_a");
  change.operation = Operation::write;
  change.action = "key.create";
  change.resource = "key_c";
  change.model = change.route = change.data_class = "";
  append(*log, change);
  // Somebody else's action about the key is not the key's.
  Record about = result_of("key_b");
  about.resource = "key_a";
  append(*log, about);
  Record intent = result_of("key_a");
  intent.phase = Phase::intent;
  append(*log, intent);

  const KeyUsage usage = read_key_usage(folder.log(), "key_a", 0, 8);
  EXPECT_EQ(usage.fault, "");
  EXPECT_EQ(usage.total.calls, 5U);
  EXPECT_EQ(usage.total.tokens_in, 50U);
  EXPECT_EQ(usage.total.tokens_out, 15U);
  EXPECT_EQ(usage.total.bytes_out, 500U);
  EXPECT_EQ(usage.total.first_ms, kStartMs);
  EXPECT_EQ(usage.total.last_ms, kStartMs + 1000 + kDayMs);
  EXPECT_EQ(usage.unfinished, 1U);
  EXPECT_EQ(calls(usage.days), (Calls{{"2026-11-18", 4}, {"2026-11-19", 1}}));
  EXPECT_EQ(calls(usage.models), (Calls{{"demo", 4}}));
  EXPECT_EQ(calls(usage.routes), (Calls{{"local", 2}, {"partner", 2}}));
  EXPECT_EQ(calls(usage.addresses), (Calls{{"192.0.2.1", 4}, {"192.0.2.2", 1}}));
  EXPECT_EQ(calls(usage.outcomes), (Calls{{"success", 3}, {"failed", 1}, {"refused", 1}}));
  EXPECT_EQ(calls(usage.actions), (Calls{{"chat.completions", 4}, {"key.create", 1}}));
  EXPECT_EQ(calls(usage.egress), (Calls{{"partner, internal", 1}}));
  ASSERT_EQ(usage.changes.size(), 1U);
  EXPECT_EQ(usage.changes.front().resource, "key_c");
  EXPECT_EQ(usage.last_sequence, 8U);
  EXPECT_EQ(to_hex(crypto::view(usage.last_hash)), verified(folder).last_hash_hex);
}

TEST(KeyUsage, BeginsWhereItIsAskedTo) {
  const ScratchFolder folder;
  ManualClock clock(kStartMs);
  const auto log = open_log(folder, clock);  // small segments: many of them
  for (int day = 0; day < 90; ++day) {
    append(*log, result_of("key_a"));
    clock.advance_ms(kDayMs);
  }
  ASSERT_GT(*count_segments(folder.log()), 4U);
  const KeyUsage usage = read_key_usage(folder.log(), "key_a", kStartMs + 60 * kDayMs, 90);
  EXPECT_EQ(usage.fault, "");
  EXPECT_EQ(usage.total.calls, 30U);
  EXPECT_EQ(usage.days.size(), 30U);
  EXPECT_EQ(usage.last_sequence, 90U);
}

TEST(KeyUsage, DamageIsSaidAndWhatIsBeforeItCounts) {
  const ScratchFolder folder;
  ManualClock clock(kStartMs);
  {
    const auto log = open_log(folder, clock);
    for (int i = 0; i < 60; ++i) {
      append(*log, result_of("key_a"));
    }
  }
  // Whole segments behind it: the end of the log cannot be taken for this.
  std::string bytes = read_bytes(folder.segment(1));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_bytes(folder.segment(1), bytes);
  const KeyUsage usage = read_key_usage(folder.log(), "key_a", 0, 60);
  EXPECT_NE(usage.fault, "");
  EXPECT_GT(usage.total.calls, 0U);
  EXPECT_LT(usage.total.calls, 60U);
  EXPECT_NE(read_key_usage(folder.log() / "nowhere", "key_a", 0, 60).fault, "");
}

// Where the log ends nothing follows that would tell: only who knows how far it went can.
TEST(KeyUsage, ALostEndIsSaid) {
  const ScratchFolder folder;
  ManualClock clock(kStartMs);
  {
    const auto log = open_log(folder, clock);
    for (int i = 0; i < 4; ++i) {
      append(*log, result_of("key_a"));
    }
  }
  EXPECT_EQ(read_key_usage(folder.log(), "key_a", 0, 4).fault, "");
  std::string bytes = read_bytes(folder.segment(1));
  bytes[kSegmentHeaderBytes + 700] = static_cast<char>(bytes[kSegmentHeaderBytes + 700] ^ 1);
  write_bytes(folder.segment(1), bytes);
  EXPECT_NE(read_key_usage(folder.log(), "key_a", 0, 4).fault, "");
}

TEST(KeyUsage, ManyValuesTakeBoundedMemory) {
  KeyUsageCounter counter("key_a", 0);
  for (std::uint64_t i = 0; i < 3 * kUsageValuesMax; ++i) {
    Record record = result_of("key_a", "2001:db8::" + std::to_string(i));
    record.unix_ms = kStartMs;
    record.operation = Operation::write;
    counter.take({.sequence = i + 1, .record = record});
  }
  const KeyUsage usage = counter.taken();
  EXPECT_EQ(usage.addresses.size(), kUsageValuesMax + 1);
  EXPECT_EQ(usage.addresses.back().value, "(others)");
  EXPECT_EQ(usage.addresses.back().calls, 2 * kUsageValuesMax);
  EXPECT_EQ(usage.changes.size(), kUsageChangesMax);
  EXPECT_EQ(usage.changes_left_out, 3 * kUsageValuesMax - kUsageChangesMax);
}

}  // namespace
}  // namespace deepmoat::audit
