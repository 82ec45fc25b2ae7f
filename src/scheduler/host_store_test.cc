#include "scheduler/host_store.h"

#include <gtest/gtest.h>

#include "scheduler/pace.h"

namespace deepmoat::scheduler {
namespace {

TEST(HostStore, CountsEstimatesUntilTheBytesAreKnown) {
  HostStore store(10'000, 10);
  const SlotId slot = store.open({.tokens = 50});
  EXPECT_EQ(store.bytes(), 500U);
  store.settle(slot, 620);
  EXPECT_EQ(store.bytes(), 620U);
  store.close(slot);
  EXPECT_EQ(store.bytes(), 0U);
}

TEST(HostStore, LearnsWhatACheckpointTakes) {
  HostStore store(10'000, 10);
  const SlotId slot = store.open({.tokens = 50, .partial = true});
  store.settle(slot, 77);
  EXPECT_EQ(store.likely_bytes(400, true), 77U);
  EXPECT_EQ(store.likely_bytes(400, false), 4000U);
}

TEST(HostStore, GivesTheLowestFreeSlot) {
  HostStore store(10'000, 10);
  EXPECT_EQ(store.open({}), 0U);
  EXPECT_EQ(store.open({}), 1U);
  store.close(0);
  EXPECT_EQ(store.open({}), 0U);
  EXPECT_EQ(store.open({}), 2U);
}

TEST(HostStore, TheOldAndUnusedIsWorthTheLeast) {
  HostStore store(10'000, 10);
  const SlotId old = store.open({.tokens = 10, .last_used = 1});
  const SlotId young = store.open({.tokens = 10, .last_used = 90});
  const SlotId pending = store.open({.tokens = 10, .last_used = 0});
  store.settle(old, 100);
  store.settle(young, 100);
  EXPECT_EQ(store.least_worth(100, std::nullopt), old);
  EXPECT_EQ(store.least_worth(100, old), young);
  for (int i = 0; i < 50; ++i) {
    store.touch(old, 90);
  }
  EXPECT_EQ(store.least_worth(100, std::nullopt), young) << "often used";
  EXPECT_EQ(store.least_worth(100, young), old) << "a slot that is not ready stays: " << pending;
}

TEST(Pace, TellsNothingBeforeItKnows) {
  Pace pace;
  pace.note(1000, 0);
  EXPECT_EQ(pace.ms_for(100), 0U);
}

TEST(Pace, LeavesOutIdleTimeAndClocksThatJump) {
  Pace pace;
  pace.note(1000, 0);
  for (std::uint64_t ms = 1010; ms <= 2000; ms += 10) {
    pace.note(ms, 50);
  }
  EXPECT_EQ(pace.ms_for(500), 100U);
  pace.note(9000, 0);
  EXPECT_EQ(pace.ms_for(500), 100U) << "nothing to do";
  pace.note(900'000, 50);
  EXPECT_EQ(pace.ms_for(500), 100U) << "a jump";
}

TEST(Pace, ExpectsAnswersAsLongAsThoseBefore) {
  Pace pace;
  EXPECT_EQ(pace.likely_answer(20), 20);
  for (int i = 0; i < 200; ++i) {
    pace.note_answer(30);
  }
  EXPECT_NEAR(pace.likely_answer(4000), 30, 0.1);
}

}  // namespace
}  // namespace deepmoat::scheduler
