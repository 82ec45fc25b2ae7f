// Retention as the server runs it: on record, in the index too, and careful about the clock.
#include "review/retention_run.h"

#include <gtest/gtest.h>

#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

constexpr UnixMillis kStart = 1'700'000'000'000;

class RetentionRun : public ::testing::Test {
 protected:
  RetentionRun() : scratch_(kStart, audit::kSegmentBytesMin) {}

  void write_days(int days) {
    for (int i = 0; i < days; ++i) {
      scratch_.append(sample_call());
      scratch_.clock.pass(kDayMs);
    }
    ASSERT_TRUE(scratch_.index->catch_up(scratch_.folder.log(), nullptr));
  }
  RetentionParts parts() {
    return {.log = *scratch_.log,
            .index = *scratch_.index,
            .clock = scratch_.clock,
            .policy = {.days = 190, .personal_days = 190, .medical_days = 190},
            .held = nullptr};
  }
  std::size_t rows() {
    std::size_t count = 0;
    EXPECT_TRUE(query(*scratch_.index, {.limit = 100'000}, [&](const audit::Entry&) { ++count; }));
    return count;
  }

  ScratchIndex scratch_;
};

TEST_F(RetentionRun, TheFirstOneOnlyNotesTheTime) {
  write_days(300);
  EXPECT_EQ(run_retention(parts())->removed, 0U);
  EXPECT_EQ(last_retention_ms(scratch_.folder.log()), scratch_.clock.unix_ms());
}

TEST_F(RetentionRun, IsOnRecordAndForgottenByTheIndex) {
  ASSERT_TRUE(run_retention(parts()));
  write_days(300);
  const std::size_t before = rows();
  RetentionParts run = parts();
  run.clock_is_right = true;
  const auto report = run_retention(run);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->removed, 50U);
  EXPECT_EQ(rows(), before - report->removed);
  const std::vector<audit::Entry> entries = audit::all_entries(scratch_.folder);
  const audit::Record& result = entries.back().record;
  EXPECT_EQ(result.action, "audit.retention");
  EXPECT_EQ(result.operation, audit::Operation::erase);
  EXPECT_EQ(result.intent_sequence, entries[entries.size() - 2].sequence);
  EXPECT_TRUE(result.reason.starts_with(std::to_string(report->removed) + " records"))
      << result.reason;
  const auto verified = audit::verified(scratch_.folder);
  EXPECT_TRUE(verified.intact()) << describe(verified);
  EXPECT_EQ(verified.stubs, report->removed);
  // The index still knows where it stands, and is the same when it is made again.
  ASSERT_TRUE(scratch_.index->catch_up(scratch_.folder.log(), nullptr));
  const std::size_t after = rows();
  ASSERT_TRUE(scratch_.index->rebuild());
  ASSERT_TRUE(scratch_.index->catch_up(scratch_.folder.log(), nullptr));
  EXPECT_EQ(rows(), after);
}

TEST_F(RetentionRun, AClockThatJumpedDeletesNothing) {
  write_days(300);
  ASSERT_TRUE(run_retention(parts()));
  scratch_.clock.step(400 * kDayMs);
  EXPECT_EQ(run_retention(parts())->until_ms, kStart + 302 * kDayMs);
  scratch_.clock.step(-400 * kDayMs);
  scratch_.clock.pass(kDayMs);
  for (const audit::Entry& entry : audit::all_entries(scratch_.folder)) {
    EXPECT_LT(entry.sequence, 400U);
  }
  EXPECT_LT(audit::verified(scratch_.folder).stubs, 120U) << "112 days are over, not 500";
}

TEST_F(RetentionRun, DeletingGoesByATimeThatDoesNotJump) {
  const std::filesystem::path& folder = scratch_.folder.log();
  EXPECT_EQ(retention_now_ms(folder, kStart), 0) << "before the first run nothing is deleted";
  ASSERT_TRUE(run_retention(parts()));
  EXPECT_EQ(retention_now_ms(folder, kStart + kDayMs), kStart + kDayMs);
  EXPECT_EQ(retention_now_ms(folder, kStart + 400 * kDayMs), kStart + kRetentionStepMs);
  EXPECT_EQ(retention_now_ms(folder, kStart - kDayMs), kStart - kDayMs);
}

TEST_F(RetentionRun, NothingOverIsNoRecord) {
  scratch_.catch_up();
  ASSERT_TRUE(run_retention(parts()));
  scratch_.clock.pass(kDayMs);
  ASSERT_TRUE(run_retention(parts()));
  EXPECT_TRUE(audit::all_entries(scratch_.folder).empty());
}

TEST_F(RetentionRun, WhatIsHeldStaysUntilTheHoldIsReleased) {
  ASSERT_TRUE(run_retention(parts()));
  write_days(300);
  RetentionParts run = parts();
  run.clock_is_right = true;
  run.held = [](const audit::Record&) { return true; };
  EXPECT_EQ(run_retention(run)->removed, 0U);
  run.held = nullptr;
  EXPECT_LT(run_retention(run)->removed, 20U) << "that time has been dealt with";
  run.read_all = true;
  EXPECT_GT(run_retention(run)->removed, 50U);
}

// More records without text than one transaction adds, and then some with.
TEST_F(RetentionRun, AnIndexMadeAnewOverDeletedTextsHoldsTheRest) {
  ASSERT_TRUE(run_retention(parts()));
  constexpr std::uint64_t kOld = 2 * kIndexBatch + 500;
  for (std::uint64_t i = 0; i < kOld; ++i) {
    scratch_.log->append(sample_call(), [](const Result<std::uint64_t>&) {});
  }
  ASSERT_TRUE(scratch_.log->append_and_wait(sample_call()));
  scratch_.clock.pass(300 * kDayMs);
  scratch_.catch_up();
  RetentionParts run = parts();
  run.clock_is_right = true;
  const std::uint64_t removed = run_retention(run)->removed;
  ASSERT_GT(removed, 2 * kIndexBatch);
  write_days(10);
  scratch_.catch_up();
  const std::size_t left = rows();
  ASSERT_TRUE(scratch_.index->rebuild());
  scratch_.catch_up();
  EXPECT_TRUE(scratch_.index->state()->complete);
  EXPECT_EQ(scratch_.index->state()->last_sequence, scratch_.log->tree().size());
  EXPECT_EQ(rows(), left);
  EXPECT_EQ(scratch_.catch_up(), 0U);
}

TEST_F(RetentionRun, AnIndexThatIsBeingMadeIsWaitedFor) {
  ASSERT_TRUE(run_retention(parts()));
  write_days(300);
  ASSERT_TRUE(scratch_.index->rebuild());
  EXPECT_EQ(run_retention(parts()).error().code, Code::unavailable);
}

}  // namespace
}  // namespace deepmoat::review
