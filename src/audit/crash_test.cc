// kill -9 of a writing process at random moments: what it acknowledged is there, and verifies.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "audit/scratch_log.h"

namespace deepmoat::audit {
namespace {

// The child: four threads append until it is killed and report every acknowledged sequence.
[[noreturn]] void write_until_killed(const std::filesystem::path& directory, int report_to) {
  const SystemClock clock;
  auto log = Log::open({.directory = directory, .segment_bytes = 16 * 1024}, clock);
  if (!log) {
    ::_exit(2);
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (;;) {
        const auto sequence = (*log)->append_and_wait(sample_record(1));
        if (!sequence || ::write(report_to, &*sequence, sizeof *sequence) !=
                             static_cast<ssize_t>(sizeof *sequence)) {
          ::_exit(3);
        }
      }
    });
  }
  threads[0].join();
  ::_exit(4);
}

TEST(Crash, NoAcknowledgedRecordIsLost) {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder.log());
  std::mt19937 random(3);
  std::uint64_t acknowledged = 0;
  for (int round = 0; round < 30; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe_ends[0]);
      write_until_killed(folder.log(), pipe_ends[1]);
    }
    ::close(pipe_ends[1]);
    const unsigned reports_wanted = random() % 120;
    const auto extra = std::chrono::microseconds(random() % 2000);
    std::uint64_t sequence = 0;
    unsigned reports = 0;
    while (::read(pipe_ends[0], &sequence, sizeof sequence) == sizeof sequence) {
      acknowledged = std::max(acknowledged, sequence);
      if (reports++ == reports_wanted) {
        std::this_thread::sleep_for(extra);
        ::kill(child, SIGKILL);
      }
    }
    ::close(pipe_ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
    const verifier::LogReport report = verified(folder);
    ASSERT_TRUE(report.intact()) << describe(report);
    ASSERT_GE(report.records, acknowledged);
  }
  const SystemClock clock;
  const std::uint64_t records = verified(folder).records;
  const auto log = open_log(folder, clock, 16 * 1024);
  ASSERT_NE(log, nullptr);
  ASSERT_TRUE(log->append_and_wait(sample_record(1)).has_value());
  const verifier::LogReport report = verified(folder);
  EXPECT_TRUE(report.intact() && !report.torn_tail) << describe(report);
  EXPECT_GE(report.records, records);
  EXPECT_GT(acknowledged, 100U);
}

}  // namespace
}  // namespace deepmoat::audit
