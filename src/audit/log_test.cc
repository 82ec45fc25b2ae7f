#include "audit/log.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <future>
#include <thread>

#include "audit/scratch_log.h"

namespace deepmoat::audit {
namespace {

constexpr UnixMillis kStart = 1'700'000'000'000;

TEST(Log, KeepsWhatWasAppended) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  {
    const auto log = open_log(folder, clock);
    append_records(*log, 1, 3);
    clock.advance_ms(5);
    append_records(*log, 4, 1);
  }
  const std::vector<Entry> entries = all_entries(folder);
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[1].sequence, 2U);
  EXPECT_EQ(entries[1].record.request_id, "req_2");
  EXPECT_EQ(entries[1].record.unix_ms, kStart);
  EXPECT_EQ(entries[3].record.unix_ms, kStart + 5);
  EXPECT_EQ(entries[3].record.mono_ns, 5'000'000);
  const verifier::LogReport report = verified(folder);
  EXPECT_TRUE(report.intact());
  EXPECT_FALSE(report.torn_tail);
  EXPECT_EQ(report.records, 4U);
  EXPECT_EQ(report.first_unix_ms, kStart);
  EXPECT_EQ(report.last_unix_ms, kStart + 5);
}

TEST(Log, GoesOnOverManySegmentsAndRestarts) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  std::uint64_t next = 1;
  for (const std::uint64_t count : {1, 30, 200, 7, 100}) {
    const auto log = open_log(folder, clock);
    ASSERT_NE(log, nullptr);
    append_records(*log, next, count);
    next += count;
  }
  const verifier::LogReport report = verified(folder);
  EXPECT_TRUE(report.intact()) << describe(report);
  EXPECT_FALSE(report.torn_tail);
  EXPECT_EQ(report.records, next - 1);
  EXPECT_GT(report.segments, 5U);
  EXPECT_EQ(all_entries(folder).size(), next - 1);
}

TEST(Log, AnySequenceOfBatchesAndRestartsVerifies) {
  EXPECT_TRUE(rc::check("batches and restarts", [] {
    const ScratchFolder folder;
    ManualClock clock(kStart);
    const auto batches = *rc::gen::container<std::vector<int>>(8, rc::gen::inRange(0, 60));
    std::uint64_t expected = 0;
    for (const int batch : batches) {
      const auto log = open_log(folder, clock);
      for (int i = 0; i < batch; ++i) {
        Record record = sample_record(++expected);
        record.resource = std::string(static_cast<std::size_t>(*rc::gen::inRange(0, 300)), 'r');
        log->append(std::move(record), [](Result<std::uint64_t>) {});
      }
    }
    const verifier::LogReport report = verified(folder);
    RC_ASSERT(report.intact());
    RC_ASSERT(!report.torn_tail);
    RC_ASSERT(report.records == expected);
  }));
}

TEST(Log, ConcurrentAppendersAllBecomeDurableInOneOrder) {
  const ScratchFolder folder;
  const SystemClock clock;
  constexpr std::uint64_t kThreads = 8;
  constexpr std::uint64_t kEach = 500;
  std::vector<std::vector<std::uint64_t>> sequences(kThreads);
  {
    const auto log = open_log(folder, clock, 64 * 1024);
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (std::uint64_t i = 0; i < kEach; ++i) {
          Record record = sample_record(i);
          record.tenant = std::to_string(t);
          if (const auto sequence = log->append_and_wait(std::move(record)); sequence) {
            sequences[t].push_back(*sequence);
          }
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  const std::vector<Entry> entries = all_entries(folder);
  ASSERT_EQ(entries.size(), kThreads * kEach);
  for (std::uint64_t t = 0; t < kThreads; ++t) {
    ASSERT_EQ(sequences[t].size(), kEach);
    for (std::uint64_t i = 0; i < kEach; ++i) {
      const Entry& entry = entries[sequences[t][i] - 1];
      ASSERT_EQ(entry.record.tenant, std::to_string(t));
      ASSERT_EQ(entry.record.request_id, "req_" + std::to_string(i));
    }
  }
  EXPECT_TRUE(verified(folder).intact());
}

TEST(Log, CallbacksComeInOrderWithTheirSequence) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  std::vector<std::uint64_t> seen;
  {
    const auto log = open_log(folder, clock);
    for (std::uint64_t i = 1; i <= 500; ++i) {
      log->append(sample_record(i),
                  [&seen](Result<std::uint64_t> sequence) { seen.push_back(sequence.value()); });
    }
  }  // the destructor commits what is queued
  ASSERT_EQ(seen.size(), 500U);
  for (std::uint64_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i], i + 1);
  }
}

TEST(Log, RefusesOverTheQueueLimitAndRecovers) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  auto opened = Log::open(
      {.directory = folder.log(), .segment_bytes = kSegmentBytesMin, .queue_records_max = 2},
      clock);
  ASSERT_TRUE(opened.has_value());
  Log& log = **opened;
  std::promise<void> entered;
  std::promise<void> release;
  log.append(sample_record(1), [&](Result<std::uint64_t>) {
    entered.set_value();
    release.get_future().wait();  // holds the commit thread
  });
  entered.get_future().wait();
  log.append(sample_record(2), [](Result<std::uint64_t> r) { EXPECT_EQ(r.value(), 2U); });
  log.append(sample_record(3), [](Result<std::uint64_t> r) { EXPECT_EQ(r.value(), 3U); });
  bool refused = false;
  log.append(sample_record(4), [&](Result<std::uint64_t> r) {
    refused = !r && r.error().code == Code::audit_unavailable;
  });
  EXPECT_TRUE(refused);
  EXPECT_TRUE(log.healthy());
  release.set_value();
  for (;;) {  // the queue drains
    const auto sequence = log.append_and_wait(sample_record(4));
    if (sequence) {
      EXPECT_EQ(*sequence, 4U);
      break;
    }
    std::this_thread::yield();
  }
}

TEST(Log, OneProcessHoldsTheFolder) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  const auto log = open_log(folder, clock);
  const auto second = Log::open({.directory = folder.log()}, clock);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Code::already_exists);
}

TEST(Log, RefusesBadOptions) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  for (const std::uint64_t bytes : {0ULL, 4096ULL, 10'000ULL, 2ULL << 30}) {
    const auto log = Log::open({.directory = folder.log(), .segment_bytes = bytes}, clock);
    ASSERT_FALSE(log.has_value());
    EXPECT_EQ(log.error().code, Code::invalid_argument);
  }
}

TEST(Log, IntentsWithoutResultsAreCounted) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  const auto log = open_log(folder, clock);
  Record intent;
  const std::uint64_t first = log->append_and_wait(intent).value();
  const std::uint64_t second = log->append_and_wait(intent).value();
  Record result;
  result.phase = Phase::result;
  result.intent_sequence = first;
  ASSERT_TRUE(log->append_and_wait(result).has_value());
  const verifier::LogReport report = verified(folder);
  EXPECT_EQ(report.unfinished, 1U);
  EXPECT_EQ(report.unfinished_first, std::vector<std::uint64_t>{second});
}

// Runs `body` in a child whose files cannot grow or be written beyond `file_bytes_max`: every
// write there fails with EFBIG, as it would with ENOSPC on a full disk. 0 = all went well.
template <class Body>
int in_child_with_file_limit(rlim_t file_bytes_max, Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    ::_exit(body([&] {
      const rlimit limit{file_bytes_max, file_bytes_max};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

// 1..: which expectation failed in the child.
int fails_closed(const ScratchFolder& folder, const std::function<void()>& fill_disk,
                 std::uint64_t segment_bytes) {
  const SystemClock clock;
  auto opened = Log::open({.directory = folder.log(), .segment_bytes = segment_bytes}, clock);
  if (!opened) {
    return 1;
  }
  Log& log = **opened;
  if (!log.append_and_wait(sample_record(1))) {
    return 2;
  }
  fill_disk();
  std::uint64_t good = 1;
  Result<std::uint64_t> last = 0;
  while (good < 10'000 && (last = log.append_and_wait(sample_record(1)))) {
    ++good;
  }
  if (last || last.error().code != Code::audit_unavailable ||
      !last.error().message.starts_with("the audit log: ")) {
    return 3;
  }
  if (log.healthy()) {
    return 4;
  }
  bool told = false;
  log.append(sample_record(1), [&](Result<std::uint64_t> r) { told = !r; });
  if (!told || log.append_and_wait(sample_record(1))) {
    return 5;
  }
  const auto report = verifier::verify_log(folder.log());
  return report && report->intact() && report->records == good ? 0 : 6;
}

TEST(Log, FailsClosedWhenAWriteFails) {
  const ScratchFolder folder;
  EXPECT_EQ(in_child_with_file_limit(
                20'000, [&](const auto& limit) { return fails_closed(folder, limit, 64 * 1024); }),
            0);
  // After the repair: a new process goes on behind the last whole record.
  const SystemClock clock;
  const std::uint64_t records = verified(folder).records;
  const auto log = open_log(folder, clock, 64 * 1024);
  ASSERT_NE(log, nullptr);
  append_records(*log, records + 1, 100);
  EXPECT_TRUE(verified(folder).intact());
  EXPECT_FALSE(verified(folder).torn_tail);
}

TEST(Log, FailsClosedWhenNoSegmentCanBeMade) {
  const ScratchFolder folder;
  // Existing segments can be written to their end; a new one cannot be made.
  EXPECT_EQ(in_child_with_file_limit(kSegmentBytesMin,
                                     [&](const auto& limit) {
                                       {
                                         const SystemClock clock;
                                         const auto log = open_log(folder, clock);
                                         append_records(*log, 1, 1);
                                       }
                                       limit();
                                       const SystemClock clock;
                                       auto log = Log::open(
                                           {.directory = folder.log(), .segment_bytes = 64 * 1024},
                                           clock);
                                       if (!log) {
                                         return 10;
                                       }
                                       std::uint64_t good = 1;
                                       while ((*log)->append_and_wait(sample_record(1))) {
                                         ++good;
                                       }
                                       return (*log)->healthy() || good < 10 ? 11 : 0;
                                     }),
            0);
  EXPECT_TRUE(verified(folder).intact());
  EXPECT_FALSE(verified(folder).torn_tail);
}

}  // namespace
}  // namespace deepmoat::audit
