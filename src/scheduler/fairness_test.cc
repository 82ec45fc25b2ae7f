// Who goes first, who waits, who leaves, and what they are told.
#include <gtest/gtest.h>

#include <cmath>

#include "scheduler/driver.h"

namespace deepmoat::scheduler {
namespace {

// Prompts that share nothing.
NewCall fresh_call(std::uint64_t id, const std::string& tenant, std::size_t prompt,
                   std::uint32_t max_tokens) {
  return call_of(id, tokens_from(static_cast<Token>(id * 10'000), prompt), max_tokens, tenant);
}

std::vector<NewCall> flood(std::uint64_t first, std::size_t count, const std::string& tenant,
                           std::size_t prompt, std::uint32_t max_tokens) {
  std::vector<NewCall> calls;
  for (std::uint64_t id = first; id < first + count; ++id) {
    calls.push_back(fresh_call(id, tenant, prompt, max_tokens));
  }
  return calls;
}

TEST(Fairness, AQuietTenantDoesNotWaitBehindAFlood) {
  Driver driver({.running_max = 16, .step_tokens = 512});
  driver.tick(flood(1, 200, "flood", 1500, 100));
  for (int i = 0; i < 80; ++i) {
    driver.tick();
  }
  ASSERT_EQ(driver.state.running_sequences(), 16U) << "the flood has all of it";
  const std::uint64_t arrived = driver.ticks;
  driver.tick({fresh_call(1000, "quiet", 300, 10)});
  EXPECT_EQ(driver.plan.preempted.size(), 1U);
  for (int i = 0; i < 3; ++i) {
    driver.tick();
  }
  ASSERT_TRUE(driver.first_token.contains(1000));
  EXPECT_LE(driver.first_token[1000] - arrived, 2U);
  EXPECT_EQ(find_inconsistency(driver.state), std::nullopt);
}

TEST(Fairness, AQuietTenantsPromptGoesBeforeThoseThatRun) {
  Driver driver({.running_max = 16, .step_tokens = 64});
  driver.tick(flood(1, 1, "flood", 1500, 5));
  driver.tick();
  driver.tick({fresh_call(1000, "quiet", 80, 5)});  // more than a step holds
  EXPECT_EQ(driver.rows(1000), 64U);
  EXPECT_EQ(driver.rows(1), 0U);
  EXPECT_TRUE(driver.plan.preempted.empty());
}

TEST(Fairness, ANewcomersPromptHasAStepToItself) {
  Driver driver({.running_max = 20, .step_tokens = 512});
  driver.tick(flood(1, 14, "flood", 30, 100));
  driver.tick();
  ASSERT_EQ(driver.plan.batch.size(), 14U) << "all of them answer";
  driver.tick({fresh_call(1000, "quiet", 100, 5), fresh_call(1001, "calm", 50, 5)});
  EXPECT_EQ(driver.rows(1000), 100U);
  EXPECT_EQ(driver.rows(1001), 50U);
  EXPECT_EQ(driver.plan.batch.size(), 2U) << "and nobody else has a row";
  driver.tick({fresh_call(1002, "third", 50, 5)});
  EXPECT_EQ(driver.plan.batch.size(), 17U) << "what runs is not left out twice in a row";
}

TEST(Fairness, NoStepIsTakenFromABetterClass) {
  Driver driver({.running_max = 16, .step_tokens = 512});
  driver.tick(flood(1, 8, "flood", 30, 100));
  driver.tick();
  NewCall batch = fresh_call(1000, "quiet", 100, 5);
  batch.priority = 9;
  driver.tick({batch});
  EXPECT_EQ(driver.plan.batch.size(), 9U);
}

TEST(Fairness, ABusyTenantThatRunsOneCallAtATimeIsNoNewcomer) {
  Driver driver({.running_max = 3, .step_tokens = 512});
  driver.tick({fresh_call(1, "a", 30, 100), fresh_call(2, "b", 30, 100)});
  driver.tick();
  driver.tick({fresh_call(3, "c", 40, 5), fresh_call(4, "c", 40, 5)});
  EXPECT_EQ(driver.plan.batch.size(), 3U) << "its next call waits";
}

TEST(Fairness, ALongPromptOrASecondCallHasNoStepToItself) {
  Driver driver({.running_max = 16, .step_tokens = 512});
  driver.tick(flood(1, 8, "flood", 30, 100));
  driver.tick();
  driver.inputs.solo_tokens = 90;
  driver.tick({fresh_call(1000, "quiet", 100, 5)});
  EXPECT_EQ(driver.plan.batch.size(), 9U) << "it would hold the others up for too long";
  driver.tick({fresh_call(1001, "quiet", 50, 5)});
  EXPECT_EQ(driver.plan.batch.size(), 10U) << "its tenant has an answer running";
}

TEST(Fairness, TheLastSequenceOfATenantIsNotTakenForAnother) {
  Driver driver({.running_max = 3});
  driver.tick({fresh_call(1, "a", 50, 30), fresh_call(2, "b", 50, 30), fresh_call(3, "c", 50, 30)});
  driver.tick({fresh_call(4, "d", 50, 30)});
  EXPECT_TRUE(driver.plan.preempted.empty());
  driver.run_until_idle();
  EXPECT_EQ(driver.finished.size(), 4U);
}

TEST(Fairness, TheOldestIsNeverPreempted) {
  Driver driver({.cells = 200, .context_tokens = 200, .running_max = 4, .reserve_tokens = 1});
  driver.tick(flood(1, 4, "a", 40, 100));
  std::set<std::uint64_t> preempted;
  do {
    driver.tick();
    EXPECT_LE(driver.plan.preempted.size(), 1U) << "one at a time";
    preempted.insert(driver.plan.preempted.begin(), driver.plan.preempted.end());
  } while (!driver.finished.contains(1));
  EXPECT_FALSE(preempted.contains(1));
  EXPECT_FALSE(preempted.empty());
  driver.run_until_idle();
  EXPECT_EQ(driver.finished.size(), 4U);
}

// The largest difference of service between two tenants that always have calls waiting.
double widest_gap(Driver& driver, double weight_b, int steps) {
  std::uint64_t id = 1;
  double widest = 0;
  for (int i = 0; i < steps; ++i) {
    std::vector<NewCall> calls;
    const auto fill = [&](const std::string& tenant, std::size_t prompt, std::uint32_t answer,
                          double weight) {
      const Tenant* known = driver.state.tenants.find(tenant);
      for (std::uint32_t queued = known == nullptr ? 0 : known->queued; queued < 10; ++queued) {
        calls.push_back(fresh_call(id++, tenant, prompt, answer));
        calls.back().weight = weight;
      }
    };
    fill("a", 300, 5, 1);
    fill("b", 20, 60, weight_b);
    driver.tick(std::move(calls));
    const double a = driver.state.tenants.find("a")->service;
    const double b = driver.state.tenants.find("b")->service;
    widest = std::max(widest, std::abs(a - b));
  }
  return widest;
}

TEST(Fairness, TheGapBetweenTwoBusyTenantsIsBounded) {
  const Config config{.running_max = 8, .step_tokens = 64, .fairness_slack = 300};
  // What each may still be served after the other fell behind: all that runs.
  const double bound = 300 + 8 * 310.0;
  Driver brief(config);
  EXPECT_LE(widest_gap(brief, 1, 500), bound);
  Driver long_run(config);
  EXPECT_LE(widest_gap(long_run, 1, 5000), bound) << "it does not grow with time";
}

TEST(Fairness, WeightsDivideTheService) {
  Driver driver({.running_max = 8, .step_tokens = 64, .fairness_slack = 300});
  EXPECT_LE(widest_gap(driver, 3, 5000), 300 + 8 * 310.0);
  EXPECT_GT(driver.state.tenants.find("b")->service, 20'000) << "enough for the ratio to show";
}

TEST(Fairness, ACallWithoutPrefixIsNotOvertakenForEver) {
  Driver driver({.running_max = 1});
  const auto hot = tokens_from(1, 200);
  driver.tick({call_of(1, joined(hot, {901}), 1)});
  driver.run_until_idle();
  std::uint64_t id = 10;
  const auto next_hot = [&] {
    ++id;
    return call_of(id, joined(hot, {static_cast<Token>(1000 + id)}), 1);
  };
  driver.tick({next_hot(), next_hot(), fresh_call(5, "a", 100, 1), next_hot()});
  std::size_t steps = 0;
  while (!driver.finished.contains(5)) {
    driver.tick({next_hot()});
    ASSERT_LT(++steps, 200U);
  }
  EXPECT_GT(steps, 20U) << "but those with a prefix in memory go first for a while";
}

TEST(Fairness, AClassGoesFirstButNotForEver) {
  Driver driver({.running_max = 1});
  driver.tick(flood(100, 3, "high", 20, 1));
  NewCall low = fresh_call(5, "low", 20, 1);
  low.priority = 1;
  std::uint64_t id = 200;
  driver.tick({low});
  std::size_t steps = 0;
  while (!driver.finished.contains(5)) {
    driver.tick({fresh_call(id++, "high", 20, 1)});
    ASSERT_LT(++steps, 400U);
  }
  EXPECT_GT(steps, 50U);
}

TEST(Fairness, ABetterClassTakesThePlaceOfAWorse) {
  Driver driver({.running_max = 2});
  std::vector<NewCall> calls = flood(1, 2, "a", 50, 50);
  calls[0].priority = calls[1].priority = 3;
  driver.tick(calls);
  driver.tick({fresh_call(9, "a", 50, 5)});
  EXPECT_EQ(driver.plan.preempted, std::vector<std::uint64_t>{2});
  EXPECT_EQ(driver.admitted.back(), 9U);
  driver.run_until_idle();
  EXPECT_EQ(driver.finished.size(), 3U);
}

TEST(Fairness, WhoComputesWhatAnotherWaitsForHasItsTurn) {
  Driver driver({.running_max = 8, .step_tokens = 64});
  NewCall slow = call_of(1, tokens_from(1, 600), 1, "a");
  slow.public_tokens = 500;
  slow.priority = 2;
  driver.tick({slow});
  NewCall other = fresh_call(2, "b", 2000, 1);
  other.priority = 1;
  NewCall urgent = call_of(3, joined(tokens_from(1, 500), tokens_from(9000, 20)), 1, "c");
  urgent.public_tokens = 500;
  driver.tick({other, urgent});
  EXPECT_EQ(driver.rows(2), 0U);
  EXPECT_EQ(driver.rows(1), 64U) << "for the sake of the third";
}

// --- adapters ---

TEST(Adapters, EachGetsItsQuantum) {
  Driver driver({.running_max = 6, .adapter_quantum = 4});
  std::vector<NewCall> calls = flood(1, 6, "a", 10, 100);
  for (NewCall& call : calls) {
    call.adapter = static_cast<AdapterId>(call.call % 3);
  }
  driver.tick(calls);
  std::map<AdapterId, int> steps;
  AdapterId last = driver.plan.adapter;
  int row = 1;
  for (int i = 0; i < 60; ++i) {
    driver.tick();
    ++steps[driver.plan.adapter];
    row = driver.plan.adapter == last ? row + 1 : 1;
    last = driver.plan.adapter;
    EXPECT_LE(row, 4);
  }
  EXPECT_EQ(steps.size(), 3U);
  for (const auto& [adapter, count] : steps) {
    EXPECT_NEAR(count, 20, 4) << adapter;
  }
}

TEST(Adapters, OneAloneKeepsItsTurn) {
  Driver driver({.running_max = 6, .adapter_quantum = 2});
  NewCall call = fresh_call(1, "a", 10, 30);
  call.adapter = 4;
  driver.tick({call});
  while (!driver.state.calls.empty()) {
    EXPECT_EQ(driver.plan.adapter, 4U);
    EXPECT_EQ(driver.plan.batch.size(), 1U);
    driver.tick();
  }
}

// --- refusals ---

TEST(Refusals, ATenantsQueueIsBoundedByItself) {
  Driver driver({.running_max = 1, .queue_max = 20, .tenant_queue_max = 3});
  driver.tick(flood(1, 6, "a", 20, 5));
  ASSERT_EQ(driver.plan.refused.size(), 3U) << "none is admitted before all have come";
  EXPECT_EQ(driver.plan.refused[0].kind, Refusal::Kind::tenant_queue_full);
  EXPECT_EQ(driver.plan.refused[0].waiting, 3U);
  driver.tick({fresh_call(50, "b", 20, 5)});
  EXPECT_TRUE(driver.plan.refused.empty());
}

TEST(Refusals, ATenantMayHaveABoundOfItsOwn) {
  Driver driver({.running_max = 1, .queue_max = 20, .tenant_queue_max = 3});
  std::vector<NewCall> calls = flood(1, 8, "a", 20, 5);
  for (NewCall& call : calls) {
    call.tenant_queue_max = 6;
  }
  driver.tick(calls);
  ASSERT_EQ(driver.plan.refused.size(), 2U);
  EXPECT_EQ(driver.plan.refused[0].kind, Refusal::Kind::tenant_queue_full);
}

TEST(Refusals, WhoWaitsBeyondItsDeadlineIsRefused) {
  Driver driver({.running_max = 1});
  driver.tick({fresh_call(1, "a", 50, 100)});
  NewCall late = fresh_call(2, "a", 50, 5);
  late.deadline_ms = driver.now_ms + 20;
  NewCall patient = fresh_call(3, "a", 50, 5);
  patient.deadline_ms = driver.now_ms + 100'000;
  driver.tick({late, patient});
  while (driver.plan.refused.empty()) {
    driver.tick();
    ASSERT_FALSE(driver.finished.contains(1));
  }
  EXPECT_EQ(driver.plan.refused[0].call, 2U);
  EXPECT_EQ(driver.plan.refused[0].kind, Refusal::Kind::deadline);
  driver.run_until_idle();
  EXPECT_EQ(driver.finished.size(), 2U) << "a call that has begun is carried through";
}

TEST(Refusals, RetryAfterIsWhenTheQueueWillBeDone) {
  Driver driver({.running_max = 4, .queue_max = 20});
  driver.tick(flood(1, 12, "a", 200, 20));  // it learns its speed
  driver.run_until_idle();
  driver.tick(flood(100, 24, "a", 200, 20));
  driver.tick({fresh_call(500, "b", 200, 20)});
  driver.tick(flood(600, 8, "a", 200, 20));
  ASSERT_FALSE(driver.plan.refused.empty());
  const std::uint64_t told_ms = driver.plan.refused.back().retry_after_ms;
  const std::uint64_t refused_ms = driver.now_ms;
  driver.run_until_idle();
  const auto took_ms = static_cast<double>(driver.now_ms - refused_ms);
  EXPECT_NEAR(static_cast<double>(told_ms), took_ms, took_ms * 0.25);
}

TEST(Refusals, ACallThatWaitedTooLongIsToldWhenTheQueueWillBeDone) {
  Driver driver({.running_max = 4, .queue_max = 100});
  driver.tick(flood(1, 12, "a", 200, 20));  // it learns its speed
  driver.run_until_idle();
  driver.tick(flood(100, 24, "a", 200, 20));
  NewCall late = fresh_call(500, "b", 200, 20);
  late.priority = 2;  // behind all of them
  late.deadline_ms = driver.now_ms + 20;
  driver.tick({late});
  while (driver.plan.refused.empty()) {
    driver.tick();
    ASSERT_FALSE(driver.finished.contains(500));
  }
  ASSERT_EQ(driver.plan.refused[0].kind, Refusal::Kind::deadline);
  const std::uint64_t told_ms = driver.plan.refused[0].retry_after_ms;
  const std::uint64_t refused_ms = driver.now_ms;
  driver.run_until_idle();
  const auto took_ms = static_cast<double>(driver.now_ms - refused_ms);
  EXPECT_NEAR(static_cast<double>(told_ms), took_ms, took_ms * 0.25);
}

TEST(Refusals, AnOddCallIsInvalid) {
  Driver driver(Config{});
  NewCall empty = call_of(1, {});
  NewCall none = call_of(2, tokens_from(1, 5));
  none.choices = 0;
  driver.tick({empty, none, call_of(3, {4, -1, 5})});
  ASSERT_EQ(driver.plan.refused.size(), 3U);
  for (const Refusal& refusal : driver.plan.refused) {
    EXPECT_EQ(refusal.kind, Refusal::Kind::invalid);
  }
}

}  // namespace
}  // namespace deepmoat::scheduler
