// What the log does when the disk is full, does not answer or fails: nothing is answered without a
// record, administrators keep a way in, and it comes back by itself where it can.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "audit/scratch_log.h"
#include "base/file.h"

namespace deepmoat::audit {
namespace {

constexpr UnixMillis kStart = 1'700'000'000'000;

// The real disk, with faults at the test's word.
class MoodyDisk final : public Disk {
 public:
  std::atomic<bool> full = false;  // takes no new file
  std::atomic<bool> sync_fails = false;

  void hold_syncs() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release_syncs() {
    {
      const std::lock_guard lock(mutex_);
      held_ = false;
    }
    released_.notify_all();
  }

  void hold_creations() {
    const std::lock_guard lock(mutex_);
    creations_held_ = true;
  }
  void release_creations() {
    {
      const std::lock_guard lock(mutex_);
      creations_held_ = false;
    }
    released_.notify_all();
  }

  Result<std::vector<std::string>> list(const std::filesystem::path& folder) override {
    return under_.list(folder);
  }
  bool exists(const std::filesystem::path& path) override { return under_.exists(path); }
  Result<std::unique_ptr<DiskReader>> open(const std::filesystem::path& path) override {
    return under_.open(path);
  }
  Result<std::unique_ptr<DiskFile>> open_to_write(const std::filesystem::path& path) override {
    TRY(auto file, under_.open_to_write(path));
    return std::make_unique<File>(*this, std::move(file));
  }
  Result<std::unique_ptr<DiskFile>> create(const std::filesystem::path& path,
                                           std::uint64_t bytes) override {
    {
      std::unique_lock lock(mutex_);
      released_.wait(lock, [this] { return !creations_held_; });
    }
    if (full && bytes > 0) {
      return fail(Code::io, path.string() + ": No space left on device");
    }
    return under_.create(path, bytes);
  }
  Result<> rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    return under_.rename(from, to);
  }
  Result<> remove(const std::filesystem::path& path) override { return under_.remove(path); }
  Result<> sync_folder(const std::filesystem::path& folder) override {
    return under_.sync_folder(folder);
  }

 private:
  class File final : public DiskFile {
   public:
    File(MoodyDisk& disk, std::unique_ptr<DiskFile> file) : disk_(disk), file_(std::move(file)) {}
    Result<> write_at(std::string_view bytes, std::uint64_t offset) override {
      return file_->write_at(bytes, offset);
    }
    Result<> sync() override {
      std::unique_lock lock(disk_.mutex_);
      disk_.released_.wait(lock, [this] { return !disk_.held_; });
      return disk_.sync_fails ? fail(Code::io, "fdatasync: Input/output error") : file_->sync();
    }

   private:
    MoodyDisk& disk_;
    std::unique_ptr<DiskFile> file_;
  };

  Disk& under_ = system_disk();
  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
  bool creations_held_ = false;
};

class FailClosed : public ::testing::Test {
 protected:
  std::unique_ptr<Log> open(const Clock& clock, std::int64_t stall_ms = 5000) {
    auto log = Log::open({.directory = folder_.log(),
                          .segment_bytes = kSegmentBytesMin,
                          .stall_ms = stall_ms,
                          .retry_ms = 20,
                          .disk = &disk_},
                         clock);
    EXPECT_TRUE(log) << log.error().message;
    return log ? std::move(*log) : nullptr;
  }
  void await_reserve() const {
    while (!std::filesystem::exists(folder_.log() / "reserve")) {
      std::this_thread::yield();
    }
  }
  static void await(const Log& log, LogState state) {
    while (log.state() != state) {
      std::this_thread::yield();
    }
  }
  // Appends on the lane of calls until the log takes no more, and says how many it took.
  std::uint64_t fill(Log& log, Lane lane) {
    std::uint64_t count = 0;
    while (log.append_and_wait(sample_record(2), lane)) {  // an intent
      ++count;
    }
    return count;
  }

  ScratchFolder folder_;
  MoodyDisk disk_;
  SystemClock clock_;
};

TEST_F(FailClosed, AFullDiskLeavesTheSpareToAdministrators) {
  const auto log = open(clock_);
  ASSERT_TRUE(log->append_and_wait(sample_record(1)));
  await_reserve();
  disk_.full = true;
  EXPECT_GT(fill(*log, Lane::calls), 10U) << "what was made ahead is used first";
  EXPECT_EQ(log->state(), LogState::disk_full);
  EXPECT_FALSE(log->healthy());
  const auto refused = log->append_and_wait(sample_record(2), Lane::calls);
  EXPECT_EQ(refused.error().code, Code::audit_unavailable);
  EXPECT_NE(refused.error().message.find("disk is full"), std::string::npos);

  Record result = sample_record(1);
  result.intent_sequence = 1;
  EXPECT_TRUE(log->append_and_wait(result, Lane::calls)) << "its call had begun";
  EXPECT_GT(fill(*log, Lane::administration), 10U);
  EXPECT_FALSE(std::filesystem::exists(folder_.log() / "reserve"));
  EXPECT_TRUE(verified(folder_).intact());

  disk_.full = false;
  await(*log, LogState::writing);
  await_reserve();
  EXPECT_TRUE(log->append_and_wait(sample_record(2), Lane::calls));
  EXPECT_TRUE(verified(folder_).intact());
}

TEST_F(FailClosed, AServerThatStartsOnAFullDiskServesAdministrators) {
  {
    const auto log = open(clock_);
    ASSERT_TRUE(log->append_and_wait(sample_record(1)));
    await_reserve();
    disk_.full = true;
    fill(*log, Lane::calls);
  }
  const auto log = open(clock_);
  EXPECT_TRUE(log->append_and_wait(sample_record(1), Lane::administration));
  await(*log, LogState::disk_full);
  EXPECT_FALSE(log->append_and_wait(sample_record(2), Lane::calls));
}

TEST_F(FailClosed, ADiskThatDoesNotAnswerIsNotWaitedFor) {
  const auto log = open(clock_, 20);
  ASSERT_TRUE(log->append_and_wait(sample_record(1)));
  await_reserve();  // the supply's syncs are through
  disk_.hold_syncs();
  const auto stalled = log->append_and_wait(sample_record(2));
  EXPECT_EQ(stalled.error().code, Code::audit_unavailable);
  EXPECT_EQ(log->state(), LogState::stalled);
  EXPECT_EQ(log->append_and_wait(sample_record(3)).error().code, Code::audit_unavailable);
  bool called = false;
  log->append(sample_record(3), [&](const Result<std::uint64_t>& sequence) {
    called = true;
    EXPECT_FALSE(sequence);
  });
  EXPECT_TRUE(called);
  disk_.release_syncs();
  await(*log, LogState::writing);
  EXPECT_EQ(*log->append_and_wait(sample_record(4)), 3U) << "the one that stalled is there";
  EXPECT_EQ(verified(folder_).records, 3U);
}

TEST_F(FailClosed, WhatWaitsBehindAStallFailsAndIsNotWritten) {
  const auto log = open(clock_, 20);
  ASSERT_TRUE(log->append_and_wait(sample_record(1)));
  await_reserve();
  disk_.hold_syncs();
  std::vector<std::thread> writers;
  std::atomic<int> refused = 0;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&] {
      if (!log->append_and_wait(sample_record(2))) {
        ++refused;
      }
    });
  }
  for (std::thread& writer : writers) {
    writer.join();
  }
  EXPECT_EQ(refused, 8);
  disk_.release_syncs();
  await(*log, LogState::writing);
  EXPECT_TRUE(log->append_and_wait(sample_record(1)));
  EXPECT_TRUE(verified(folder_).intact());
}

// Also where the next segment is not there yet and the disk stops while it is made.
TEST_F(FailClosed, ADiskThatStopsWhileTheNextSegmentIsMadeIsNotWaitedFor) {
  const auto log = open(clock_, 20);
  ASSERT_TRUE(log->append_and_wait(sample_record(1)));
  await_reserve();
  disk_.hold_creations();
  Result<std::uint64_t> last = 0;
  while ((last = log->append_and_wait(sample_record(1)))) {
  }
  EXPECT_EQ(last.error().code, Code::audit_unavailable);
  EXPECT_EQ(log->state(), LogState::stalled);
  disk_.release_creations();
  await(*log, LogState::writing);
  EXPECT_TRUE(log->append_and_wait(sample_record(1)));
  EXPECT_TRUE(verified(folder_).intact());
}

ino_t inode_of(const std::filesystem::path& path) {
  struct stat status{};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_ino;
}

TEST_F(FailClosed, AfterAFailedSyncTheFileIsNotUsedAgain) {
  {
    const auto log = open(clock_);
    append_records(*log, 1, 5);
    await_reserve();
    disk_.sync_fails = true;
    EXPECT_EQ(log->append_and_wait(sample_record(6)).error().code, Code::audit_unavailable);
    EXPECT_EQ(log->state(), LogState::failed);
    disk_.sync_fails = false;
    EXPECT_EQ(log->append_and_wait(sample_record(6)).error().code, Code::audit_unavailable)
        << "not before a new start";
  }
  EXPECT_TRUE(std::filesystem::exists(folder_.log() / "tail-unknown"));
  const ino_t before = inode_of(folder_.segment(1));
  const auto log = open(clock_);
  ASSERT_TRUE(log->append_and_wait(sample_record(7)));
  EXPECT_NE(inode_of(folder_.segment(1)), before);
  EXPECT_FALSE(std::filesystem::exists(folder_.log() / "tail-unknown"));
  const verifier::LogReport report = verified(folder_);
  EXPECT_TRUE(report.intact()) << describe(report);
  EXPECT_GE(report.records, 6U);
}

// A clock that jumps, as an administrator or a network sets it.
class JumpingClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis unix_ms() const override { return unix_ms_; }
  [[nodiscard]] MonoNanos mono_ns() const override { return 5'000'000'000; }
  std::atomic<UnixMillis> unix_ms_ = kStart;
};

TEST_F(FailClosed, AClockThatJumpsIsOnRecordAndChangesNoOrder) {
  JumpingClock clock;
  {
    const auto log = open(clock);
    ASSERT_TRUE(log->append_and_wait(sample_record(1)));
    clock.unix_ms_ += 100 * kDayMs;
    ASSERT_TRUE(log->append_and_wait(sample_record(1)));
    clock.unix_ms_ -= 200 * kDayMs;
    ASSERT_TRUE(log->append_and_wait(sample_record(1)));
    clock.unix_ms_ += 1000;  // a small step is none
    ASSERT_TRUE(log->append_and_wait(sample_record(1)));
  }
  const std::vector<Entry> entries = all_entries(folder_);
  ASSERT_EQ(entries.size(), 6U);
  EXPECT_EQ(entries[1].record.action, "audit.clock_step");
  EXPECT_EQ(entries[1].record.reason, "+8640000 s");
  EXPECT_EQ(entries[3].record.reason, "-17280000 s");
  EXPECT_LT(entries[4].record.unix_ms, entries[0].record.unix_ms);
  EXPECT_TRUE(verified(folder_).intact());
}

}  // namespace
}  // namespace deepmoat::audit
