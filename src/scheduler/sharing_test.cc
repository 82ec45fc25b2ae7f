// What calls take over from each other: ranges, whole states, checkpoints, saved states.
#include <gtest/gtest.h>

#include "scheduler/driver.h"

namespace deepmoat::scheduler {
namespace {

using Kind = MemoryOp::Kind;

TEST(Sharing, TwoCallersOfAStepComputeTheirPrefixOnce) {
  Driver driver({.running_max = 32, .step_tokens = 64});
  std::vector<NewCall> burst;
  for (std::uint64_t id = 1; id <= 20; ++id) {
    const auto own = static_cast<Token>(1000 + 10 * id);
    burst.push_back(call_of(id, joined(tokens_from(1, 300), tokens_from(own, 5)), 2));
  }
  std::size_t rows = 0;
  driver.tick(burst);
  do {
    for (const Chunk& chunk : driver.plan.batch) {
      rows += chunk.decode ? 0 : chunk.tokens.size();
    }
    driver.tick();
  } while (!driver.state.calls.empty());
  EXPECT_EQ(rows, 300U + 20 * 5);
}

TEST(Sharing, APublicPrefixIsSharedByAllSalts) {
  Driver driver({.running_max = 8, .step_tokens = 512});
  NewCall call = call_of(1, tokens_from(1, 100), 2, "a");
  call.public_tokens = 60;
  driver.tick({call});
  driver.run_until_idle();
  NewCall other = call_of(2, tokens_from(1, 100), 2, "b");
  other.public_tokens = 60;
  driver.tick({other, call_of(3, tokens_from(1, 100), 2, "c")});
  EXPECT_EQ(driver.cached[2], 60U);
  EXPECT_EQ(driver.cached[3], 0U) << "its own list does not have it";
}

TEST(Sharing, AnotherAdapterSharesNothing) {
  Driver driver({.running_max = 8});
  driver.tick({call_of(1, tokens_from(1, 100), 2)});
  driver.run_until_idle();
  NewCall other = call_of(2, tokens_from(1, 100), 2);
  other.adapter = 5;
  driver.tick({other});
  EXPECT_EQ(driver.cached[2], 0U);
  EXPECT_EQ(driver.plan.adapter, 5U);
}

TEST(Sharing, WhatIsOftenUsedOutlivesWhatIsNot) {
  Driver driver({.cells = 450, .context_tokens = 200, .running_max = 4, .cached_cells_max = 450});
  const auto often = tokens_from(1, 100);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    const auto own = static_cast<Token>(2000 + 100 * id);
    driver.tick({call_of(id, joined(often, tokens_from(own, 10)), 2)});
    driver.run_until_idle();
  }
  for (std::uint64_t id = 10; id <= 14; ++id) {
    driver.tick({call_of(id, tokens_from(static_cast<Token>(1000 * id), 90), 2)});
    driver.run_until_idle();
    driver.tick({call_of(100 + id, joined(often, tokens_from(static_cast<Token>(id), 10)), 2)});
    driver.run_until_idle();
    EXPECT_EQ(driver.cached[100 + id], 100U) << id;
  }
}

// --- saved states ---

Config small_memory() {
  return {.cells = 260,
          .context_tokens = 240,
          .running_max = 4,
          .reserve_tokens = 8,
          .cached_cells_max = 260,
          .host_bytes_max = 10'000,
          .cell_bytes = 1};
}

TEST(Spilling, WhatLeavesMemoryIsSavedAndRestoredOnceForAll) {
  Driver driver(small_memory());
  driver.tick({call_of(1, tokens_from(1, 150), 2)});
  driver.run_until_idle();
  driver.tick({call_of(2, tokens_from(1000, 200), 2)});
  ASSERT_EQ(driver.ops(Kind::save).size(), 1U);
  EXPECT_FALSE(driver.ops(Kind::save)[0].partial);
  driver.run_until_idle();
  driver.tick({call_of(3, joined(tokens_from(1, 150), tokens_from(500, 5)), 4),
               call_of(4, joined(tokens_from(1, 150), tokens_from(600, 5)), 4)});
  ASSERT_EQ(driver.ops(Kind::restore).size(), 1U);
  EXPECT_EQ(driver.ops(Kind::restore)[0].tokens, 151U) << "prompt and the first drawn token";
  ASSERT_EQ(driver.ops(Kind::cut).size(), 1U) << "it goes on otherwise";
  EXPECT_EQ(driver.ops(Kind::copy).size(), 1U) << "the other one copies what was restored";
  EXPECT_EQ(driver.cached[3], 150U);
  EXPECT_EQ(driver.cached[4], 150U);
  EXPECT_EQ(driver.state.counters.restores, 1U);
  EXPECT_GT(driver.state.host_bytes(), 0U) << "the saved copy stays";
}

TEST(Spilling, TheBudgetHolds) {
  Config config = small_memory();
  config.host_bytes_max = 400;
  Driver driver(config);
  for (std::uint64_t id = 1; id <= 12; ++id) {
    driver.tick({call_of(id, tokens_from(static_cast<Token>(1000 * id), 150), 2)});
    driver.run_until_idle();
    EXPECT_LE(driver.state.host_bytes(), 400U);
    EXPECT_EQ(find_inconsistency(driver.state), std::nullopt);
  }
  EXPECT_GT(driver.state.counters.spills, 5U);
}

TEST(Spilling, AFailedSaveIsAMiss) {
  Driver driver(small_memory());
  driver.tick({call_of(1, tokens_from(1, 150), 2)});
  driver.run_until_idle();
  driver.tick({call_of(2, tokens_from(1000, 200), 2)});
  ASSERT_EQ(driver.inputs.saved.size(), 1U);
  driver.inputs.saved[0].bytes = 0;
  driver.run_until_idle();
  EXPECT_EQ(driver.state.host_bytes(), 0U);
  driver.tick({call_of(3, tokens_from(1, 150), 2)});
  EXPECT_EQ(driver.cached[3], 0U);
}

TEST(Spilling, APreemptedCallGoesOnFromItsSavedState) {
  Config config = small_memory();
  config.cached_cells_max = 0;
  config.reserve_tokens = 1;
  Driver driver(config);
  driver.tick({call_of(1, tokens_from(1, 120), 60), call_of(2, tokens_from(1000, 120), 60)});
  while (driver.plan.preempted.empty()) {
    driver.tick();
  }
  EXPECT_EQ(driver.plan.preempted, std::vector<std::uint64_t>{2});
  EXPECT_EQ(driver.ops(Kind::save).size(), 1U);
  while (driver.ops(Kind::restore).empty()) {
    driver.tick();
  }
  EXPECT_EQ(driver.rows(2), 1U) << "only the token drawn last";
  driver.run_until_idle();
  EXPECT_EQ(driver.finished.size(), 2U);
}

// --- models whose state is taken over as a whole ---

Config window_model() {
  return {.running_max = 8,
          .sharing = Sharing::window,
          .unit_tokens = 100,
          .host_bytes_max = 100'000,
          .cell_bytes = 1};
}

TEST(Units, AChunkEndsWithAMessageAndIsSavedThere) {
  Driver driver(window_model());
  NewCall call = call_of(1, tokens_from(1, 150), 2);
  call.marks = {40, 145};
  driver.tick({call});
  EXPECT_EQ(driver.rows(1), 145U) << "the last unit that fits";
  driver.tick();
  ASSERT_EQ(driver.ops(Kind::save).size(), 1U);
  EXPECT_EQ(driver.ops(Kind::save)[0].tokens, 145U);
  EXPECT_TRUE(driver.ops(Kind::save)[0].partial);
  EXPECT_EQ(driver.rows(1), 5U);
}

TEST(Units, ACheckpointCompletesACopy) {
  Driver driver(window_model());
  NewCall call = call_of(1, tokens_from(1, 150), 2);
  call.marks = {140};
  driver.tick({call});
  driver.run_until_idle();
  driver.tick({call_of(2, joined(tokens_from(1, 140), tokens_from(900, 20)), 2)});
  ASSERT_EQ(driver.ops(Kind::copy).size(), 1U);
  ASSERT_EQ(driver.ops(Kind::restore).size(), 1U);
  EXPECT_EQ(driver.ops(Kind::copy)[0].tokens, 140U);
  EXPECT_EQ(driver.ops(Kind::restore)[0].to, driver.ops(Kind::copy)[0].to);
  EXPECT_EQ(driver.cached[2], 140U);
}

TEST(Units, WithoutACheckpointThereIsNoHit) {
  Config config = window_model();
  config.host_bytes_max = 0;
  Driver driver(config);
  NewCall call = call_of(1, tokens_from(1, 150), 2);
  call.marks = {140};
  driver.tick({call});
  EXPECT_EQ(driver.rows(1), 150U);
  driver.run_until_idle();
  driver.tick({call_of(2, joined(tokens_from(1, 140), tokens_from(900, 20)), 2)});
  EXPECT_EQ(driver.cached[2], 0U);
}

TEST(Units, AWholeSequenceIsCopiedWithoutOne) {
  for (const Sharing sharing : {Sharing::window, Sharing::whole}) {
    Config config = window_model();
    config.sharing = sharing;
    config.host_bytes_max = 0;
    Driver driver(config);
    driver.tick({call_of(1, tokens_from(1, 100), 3)});
    driver.run_until_idle();
    // What the first call computed: its prompt and two of the three tokens that were drawn.
    const auto turn = joined(joined(tokens_from(1, 100), {7, 7}), tokens_from(500, 30));
    driver.tick({call_of(2, turn, 2)});
    EXPECT_EQ(driver.cached[2], 102U);
  }
}

TEST(Units, ABurstStopsWhereItPartsAndSharesThat) {
  for (const std::uint64_t host : {0ULL, 100'000ULL}) {
    Config config = window_model();
    config.sharing = Sharing::whole;
    config.partial_checkpoints = false;
    config.share_cells = false;
    config.host_bytes_max = host;
    Driver driver(config);
    std::vector<NewCall> burst;
    for (std::uint64_t id = 1; id <= 6; ++id) {
      const auto own = static_cast<Token>(1000 * id);
      burst.push_back(call_of(id, joined(tokens_from(1, 90), tokens_from(own, 10)), 2));
    }
    driver.tick(burst);
    EXPECT_EQ(driver.rows(1), 90U);
    driver.tick();
    EXPECT_EQ(driver.ops(Kind::copy).size(), 5U);
    driver.run_until_idle();
    EXPECT_EQ(driver.cached[6], 90U);
  }
}

TEST(Units, APromptThatComesTwiceIsComputedOnce) {
  Config config = window_model();
  config.sharing = Sharing::whole;
  Driver driver(config);
  driver.tick({call_of(1, tokens_from(1, 90), 2), call_of(2, tokens_from(1, 90), 2)});
  EXPECT_EQ(driver.rows(1), 89U) << "the last token is computed by each";
  driver.tick();
  EXPECT_EQ(driver.cached[2], 89U);
}

TEST(Units, ALostSequenceStartsOverAndItsSourceIsForgotten) {
  Driver driver(window_model());
  NewCall call = call_of(1, tokens_from(1, 150), 2);
  call.marks = {140};
  driver.tick({call});
  driver.run_until_idle();
  driver.tick({call_of(2, joined(tokens_from(1, 140), tokens_from(900, 20)), 2)});
  const MemoryOp restored = driver.ops(Kind::restore).at(0);
  driver.inputs.sampled.clear();  // its chunk was not computed
  driver.inputs.lost = {restored.to};
  driver.tick();
  ASSERT_FALSE(driver.ops(Kind::forget).empty());
  EXPECT_EQ(driver.ops(Kind::forget)[0].slot, restored.slot);
  ASSERT_EQ(driver.plan.batch.size(), 1U);
  EXPECT_EQ(driver.plan.batch[0].position, 0U);
  EXPECT_EQ(driver.state.counters.lost, 1U);
  driver.run_until_idle();
  EXPECT_TRUE(driver.finished.contains(2));
}

TEST(Units, AStepWithoutRoomForARowLosesNoCall) {
  Driver driver({.running_max = 8});
  driver.tick({call_of(1, tokens_from(1, 50), 20), call_of(2, tokens_from(900, 50), 20)});
  driver.tick();
  driver.tick();
  const SequenceId sequence = driver.plan.batch.at(1).sequence;
  std::erase_if(driver.inputs.sampled, [](const Sampled& sampled) { return sampled.call == 2; });
  driver.inputs.lost = {sequence};
  driver.tick();
  EXPECT_EQ(driver.rows(2), 52U) << "prompt and the two tokens drawn before";
  driver.run_until_idle();
  EXPECT_EQ(driver.finished.size(), 2U);
}

}  // namespace
}  // namespace deepmoat::scheduler
