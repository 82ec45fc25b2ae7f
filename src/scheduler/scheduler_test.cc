#include "scheduler/scheduler.h"

#include <gtest/gtest.h>

#include "scheduler/driver.h"

namespace deepmoat::scheduler {
namespace {

// Answers every chunk that asks for it with token 7.
Inputs drawn_from(const Plan& plan, bool last = false) {
  Inputs inputs;
  for (const Chunk& chunk : plan.batch) {
    for (std::uint32_t i = 0; i < chunk.samples; ++i) {
      inputs.sampled.push_back(
          {.call = chunk.call, .choice = chunk.choice + i, .token = 7, .last = last});
    }
  }
  return inputs;
}

TEST(Scheduler, AnswersGoBeforePromptsAndPromptsAreCut) {
  State state({.running_max = 8, .step_tokens = 40});
  Plan plan = step(state, {.arrivals = {call_of(1, tokens_from(1, 10))}});
  ASSERT_EQ(plan.batch.size(), 1U);
  EXPECT_EQ(plan.batch[0].samples, 1U);
  Inputs inputs = drawn_from(plan);
  inputs.arrivals = {call_of(2, tokens_from(100, 200))};
  plan = step(state, inputs);
  ASSERT_EQ(plan.batch.size(), 2U);
  EXPECT_TRUE(plan.batch[0].decode);
  EXPECT_EQ(plan.batch[0].position, 10U);
  EXPECT_EQ(plan.batch[1].tokens.size(), 39U);
  EXPECT_EQ(plan.batch[1].samples, 0U);
}

TEST(Scheduler, RefusesWhatCannotFitWithNumbers) {
  State state({.context_tokens = 100});
  const Plan plan = step(state, {.arrivals = {call_of(1, tokens_from(1, 60), 50)}});
  ASSERT_EQ(plan.refused.size(), 1U);
  EXPECT_EQ(plan.refused[0].kind, Refusal::Kind::context_exceeded);
  EXPECT_EQ(plan.refused[0].prompt_tokens, 60U);
  EXPECT_EQ(plan.refused[0].context_tokens, 100U);
}

TEST(Scheduler, RefusesWhenTheQueueIsFull) {
  State state({.running_max = 1, .queue_max = 1});
  const Plan plan =
      step(state, {.arrivals = {call_of(1, tokens_from(1, 5)), call_of(2, tokens_from(1, 5))}});
  ASSERT_EQ(plan.refused.size(), 1U);
  EXPECT_EQ(plan.refused[0].kind, Refusal::Kind::queue_full);
}

TEST(Scheduler, AFinishedPromptServesTheNextCallOfTheSameSaltOnly) {
  State state(Config{});
  Plan plan = step(state, {.arrivals = {call_of(1, tokens_from(1, 50))}});
  plan = step(state, drawn_from(plan, true));
  ASSERT_EQ(plan.finished.size(), 1U);
  plan =
      step(state,
           {.arrivals = {call_of(2, tokens_from(1, 50)), call_of(3, tokens_from(1, 50), 8, "b")}});
  ASSERT_EQ(plan.admitted.size(), 2U);
  EXPECT_EQ(plan.admitted[0].cached_tokens, 49U) << "the last token is computed for its logits";
  EXPECT_EQ(plan.admitted[1].cached_tokens, 0U);
}

TEST(Scheduler, ACallWaitsForAPrefixThatAnotherComputes) {
  State state({.running_max = 8, .step_tokens = 40});
  auto long_prompt = tokens_from(1, 75);
  auto other = long_prompt;
  other.push_back(999);
  Plan plan = step(state, {.arrivals = {call_of(1, long_prompt), call_of(2, other)}});
  EXPECT_EQ(plan.admitted.size(), 1U);
  plan = step(state, {});
  EXPECT_TRUE(plan.admitted.empty());
  plan = step(state, drawn_from(plan));
  ASSERT_EQ(plan.admitted.size(), 1U);
  EXPECT_EQ(plan.admitted[0].cached_tokens, 75U);
  ASSERT_EQ(plan.memory.size(), 1U);
  EXPECT_EQ(plan.memory[0].kind, MemoryOp::Kind::copy);
}

TEST(Scheduler, ChoicesShareThePromptAndEndOneByOne) {
  State state(Config{});
  NewCall call = call_of(1, tokens_from(1, 50), 3);
  call.choices = 3;
  Plan plan = step(state, {.arrivals = {call}});
  ASSERT_EQ(plan.batch.size(), 1U);
  EXPECT_EQ(plan.batch[0].samples, 3U);
  plan = step(state, drawn_from(plan));
  EXPECT_EQ(plan.batch.size(), 3U);
  EXPECT_EQ(state.pool.pinned(), 53U) << "50 shared cells and one for each choice";
  plan = step(state, drawn_from(plan));
  plan = step(state, drawn_from(plan));
  EXPECT_EQ(plan.finished, std::vector<std::uint64_t>{1});
  EXPECT_EQ(state.pool.pinned(), 0U);
}

TEST(Scheduler, ACancelFreesInTheSameStep) {
  State state({.cells = 100, .context_tokens = 100, .running_max = 2});
  Plan plan = step(state, {.arrivals = {call_of(1, tokens_from(1, 60), 30),
                                        call_of(2, tokens_from(200, 60), 30)}});
  EXPECT_EQ(plan.admitted.size(), 1U);
  Inputs inputs = drawn_from(plan);
  inputs.cancels = {1};
  plan = step(state, inputs);
  EXPECT_EQ(plan.cancelled, std::vector<std::uint64_t>{1});
  ASSERT_EQ(plan.admitted.size(), 1U);
  EXPECT_EQ(plan.admitted[0].call, 2U);
}

TEST(Scheduler, DrainingRefusesWhatArrivesAndFinishesWhatRuns) {
  State state(Config{});
  Plan plan = step(state, {.arrivals = {call_of(1, tokens_from(1, 5))}});
  Inputs inputs = drawn_from(plan);
  inputs.draining = true;
  inputs.arrivals = {call_of(2, tokens_from(1, 5))};
  plan = step(state, inputs);
  ASSERT_EQ(plan.refused.size(), 1U);
  EXPECT_EQ(plan.refused[0].kind, Refusal::Kind::draining);
  EXPECT_EQ(plan.batch.size(), 1U);
}

}  // namespace
}  // namespace deepmoat::scheduler
