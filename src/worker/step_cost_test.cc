#include "worker/step_cost.h"

#include <gtest/gtest.h>

namespace deepmoat::worker {
namespace {

constexpr double kStep = 20;     // ms of a machine that does not exist
constexpr double kAnswer = 1.5;  // ms a row
constexpr double kPrompt = 0.4;

double cost(std::uint32_t answers, std::uint32_t prompts) {
  return kStep + kAnswer * answers + kPrompt * prompts;
}

StepCost taught(double factor = 1) {
  StepCost learnt;
  for (std::uint32_t i = 0; i < 200; ++i) {
    const std::uint32_t answers = i % 17;
    const std::uint32_t prompts = (i * 37) % 5 == 0 ? 0 : (i * 53) % 500 + 1;
    learnt.add(answers, prompts, factor * cost(answers, prompts));
  }
  return learnt;
}

TEST(StepCost, LearnsTheTermsApart) {
  const StepCost learnt = taught();
  EXPECT_NEAR(learnt.expect_ms(0, 0), kStep, 1);
  EXPECT_NEAR(learnt.expect_ms(16, 0), cost(16, 0), 2);
  EXPECT_NEAR(learnt.expect_ms(4, 300), cost(4, 300), 3);
}

TEST(StepCost, GivesThePromptRowsThatFitBesideTheAnswers) {
  const StepCost learnt = taught();
  const std::uint32_t few = learnt.prompt_rows_within(100, 32);
  const std::uint32_t more = learnt.prompt_rows_within(100, 2);
  EXPECT_NEAR(few, (100 - kStep - 32 * kAnswer) / kPrompt, 8);
  EXPECT_NEAR(more, (100 - kStep - 2 * kAnswer) / kPrompt, 8);
  EXPECT_EQ(learnt.prompt_rows_within(10, 0), 0U) << "a step alone takes longer";
}

TEST(StepCost, KnowsNothingBeforeItHasSeenPrompts) {
  StepCost learnt;
  for (int i = 0; i < 50; ++i) {
    learnt.add(8, 0, 30);
  }
  EXPECT_FALSE(learnt.known());
  EXPECT_EQ(learnt.prompt_rows_within(1000, 0), 0U);
}

TEST(StepCost, FollowsAMachineThatBecomesSlower) {
  StepCost learnt = taught();
  for (std::uint32_t i = 0; i < 200; ++i) {
    const std::uint32_t prompts = (i * 53) % 500;
    learnt.add(i % 17, prompts, 3 * cost(i % 17, prompts));
  }
  EXPECT_NEAR(learnt.expect_ms(8, 200), 3 * cost(8, 200), 20);
}

TEST(StepCost, OneStrangeStepDoesNotTurnIt) {
  StepCost learnt = taught();
  learnt.add(8, 200, 60'000);
  EXPECT_LT(learnt.expect_ms(8, 200), 2 * cost(8, 200));
  EXPECT_GT(learnt.prompt_rows_within(100, 4), 10U);
}

}  // namespace
}  // namespace deepmoat::worker
