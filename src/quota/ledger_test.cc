// Limits hold, places come back, counts add up, also under threads.
#include "quota/ledger.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace deepmoat::quota {
namespace {

constexpr MonoNanos kSecond = 1'000'000'000;
const KeyId kFirst("key_1");
const KeyId kSecondKey("key_2");
const TenantId kTenant("default");

TEST(Ledger, AdmitsEverythingWithoutLimits) {
  Ledger ledger;
  std::vector<Reservation> held;
  for (int i = 0; i < 1000; ++i) {
    auto reservation = ledger.reserve(kFirst, kTenant, 0);
    ASSERT_TRUE(reservation);
    EXPECT_EQ(reservation->requests().limit, 0U);
    held.push_back(*std::move(reservation));
  }
  EXPECT_EQ(ledger.running(), 1000U);
  held.clear();
  EXPECT_EQ(ledger.running(), 0U);
}

TEST(Ledger, CountsRequestsOfAMinute) {
  Ledger ledger({.requests_per_minute = 3});
  for (std::uint32_t left = 3; left-- > 0;) {
    const auto reservation = ledger.reserve(kFirst, kTenant, 0);
    ASSERT_TRUE(reservation);
    EXPECT_EQ(reservation->requests().limit, 3U);
    EXPECT_EQ(reservation->requests().remaining, left);
  }
  const auto refused = ledger.reserve(kFirst, kTenant, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, QuotaRefusalKind::requests_per_minute);
  EXPECT_EQ(refused.error().retry_after_s, 20U);
  EXPECT_EQ(refused.error().limit, 3U);
  EXPECT_TRUE(ledger.reserve(kSecondKey, kTenant, 0)) << "another key has its own bucket";
  EXPECT_FALSE(ledger.reserve(kFirst, kTenant, 19 * kSecond));
  EXPECT_TRUE(ledger.reserve(kFirst, kTenant, 21 * kSecond)) << "retry_after_s is the truth";
  EXPECT_FALSE(ledger.reserve(kFirst, kTenant, 21 * kSecond));
}

TEST(Ledger, FillsTheBucketToTheBrimAndNoFurther) {
  Ledger ledger({.requests_per_minute = 5});
  EXPECT_TRUE(ledger.reserve(kFirst, kTenant, 0));
  int admitted = 0;
  while (ledger.reserve(kFirst, kTenant, 3600 * kSecond)) {
    ++admitted;
  }
  EXPECT_EQ(admitted, 5);
}

TEST(Ledger, LimitsCallsAtOnceOfAKey) {
  Ledger ledger({.requests_per_minute = 3, .calls_of_key_max = 1});
  auto running = ledger.reserve(kFirst, kTenant, 0);
  ASSERT_TRUE(running);
  for (int i = 0; i < 10; ++i) {
    const auto refused = ledger.reserve(kFirst, kTenant, 0);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, QuotaRefusalKind::calls_of_key);
    EXPECT_GE(refused.error().retry_after_s, 1U);
  }
  *running = Reservation();  // dropped
  const auto next = ledger.reserve(kFirst, kTenant, 0);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->requests().remaining, 1U)
      << "refusals for concurrency cost nothing of the minute";
}

TEST(Ledger, LimitsCallsAtOnceInAll) {
  Ledger ledger({.requests_per_minute = 9, .calls_max = 2});
  auto first = ledger.reserve(kFirst, kTenant, 0);
  auto second = ledger.reserve(kSecondKey, kTenant, 0);
  ASSERT_TRUE(first && second);
  const auto refused = ledger.reserve(kFirst, kTenant, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, QuotaRefusalKind::calls_total);
  ledger.settle(*std::move(first), 1, 1);
  const auto third = ledger.reserve(kFirst, kTenant, 0);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->requests().remaining, 7U);
}

TEST(Ledger, CountsTokensOfAMinuteAndWorksOffADebt) {
  Ledger ledger({.tokens_per_minute = 60});
  auto first = ledger.reserve(kFirst, kTenant, 0);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->tokens().limit, 60U);
  EXPECT_EQ(first->tokens().remaining, 60U);
  EXPECT_EQ(first->requests().limit, 0U);
  ledger.settle(*std::move(first), 20, 25);
  auto second = ledger.reserve(kFirst, kTenant, 0);
  ASSERT_TRUE(second) << "some are left, so it is served to its end";
  EXPECT_EQ(second->tokens().remaining, 15U);
  EXPECT_EQ(second->tokens().reset_s, 45U);
  ledger.settle(*std::move(second), 1, 29);
  const auto refused = ledger.reserve(kFirst, kTenant, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, QuotaRefusalKind::tokens_per_minute);
  EXPECT_EQ(refusal_code(refused.error().kind), "rate_limit_exceeded");
  EXPECT_EQ(refused.error().limit, 60U);
  EXPECT_EQ(refused.error().retry_after_s, 16U) << "15 too many, and one for the next call";
  EXPECT_TRUE(ledger.reserve(kSecondKey, kTenant, 0)) << "another key has its own bucket";
  EXPECT_FALSE(ledger.reserve(kFirst, kTenant, 15 * kSecond));
  EXPECT_TRUE(ledger.reserve(kFirst, kTenant, 16 * kSecond)) << "retry_after_s is the truth";
}

TEST(Ledger, WhatWasUsedWithoutALimitIsNoDebtOnceThereIsOne) {
  Ledger ledger(Limits{});
  const Limits limited{.tokens_per_minute = 60};
  ledger.settle(*ledger.reserve(kFirst, kTenant, 0, limited), 1, 1);
  ledger.settle(*ledger.reserve(kFirst, kTenant, 0), 1'000'000, 0);  // the limit was lifted
  EXPECT_TRUE(ledger.reserve(kFirst, kTenant, 0, limited));
}

TEST(Ledger, ADroppedCallTakesNoTokens) {
  Ledger ledger({.tokens_per_minute = 10});
  for (int i = 0; i < 50; ++i) {
    const auto dropped = ledger.reserve(kFirst, kTenant, 0);
    ASSERT_TRUE(dropped);
    EXPECT_EQ(dropped->tokens().remaining, 10U);
  }
}

TEST(Ledger, TheLowerOfTheKeysLimitsAndTheServersCounts) {
  struct Case {
    std::uint32_t server;
    std::uint32_t key;
    std::uint32_t effective;
  };
  for (const Case& one :
       {Case{0, 0, 0}, Case{0, 4, 4}, Case{4, 0, 4}, Case{3, 9, 3}, Case{9, 3, 3}, Case{5, 5, 5}}) {
    Ledger ledger({.requests_per_minute = one.server, .tokens_per_minute = one.server});
    const Limits own{.requests_per_minute = one.key, .tokens_per_minute = one.key};
    auto first = ledger.reserve(kFirst, kTenant, 0, own);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->requests().limit, one.effective);
    EXPECT_EQ(first->tokens().limit, one.effective);
    int admitted = 1;
    while (admitted < 20 && ledger.reserve(kFirst, kTenant, 0, own)) {
      ++admitted;
    }
    EXPECT_EQ(admitted, one.effective == 0 ? 20 : static_cast<int>(one.effective));
  }
  Ledger ledger({.calls_of_key_max = 3, .calls_max = 100});
  std::vector<Reservation> held;
  while (auto reservation = ledger.reserve(kFirst, kTenant, 0, {.calls_of_key_max = 2})) {
    held.push_back(*std::move(reservation));
  }
  EXPECT_EQ(held.size(), 2U);
  while (auto reservation = ledger.reserve(kFirst, kTenant, 0, {.calls_of_key_max = 7})) {
    held.push_back(*std::move(reservation));
  }
  EXPECT_EQ(held.size(), 3U);
  EXPECT_TRUE(ledger.reserve(kSecondKey, kTenant, 0, {.calls_max = 1}))
      << "the places of all are the server's alone";
}

TEST(Ledger, AccountsSettledCallsOnce) {
  Ledger ledger({.calls_of_key_max = 1});
  ledger.settle(*ledger.reserve(kFirst, kTenant, 0), 100, 20);
  ledger.settle(*ledger.reserve(kFirst, kTenant, 0), 1, 2);
  {
    const auto dropped = ledger.reserve(kFirst, kTenant, 0);
  }
  auto held = ledger.reserve(kFirst, kTenant, 0);
  EXPECT_FALSE(ledger.reserve(kFirst, kTenant, 0));
  ledger.settle(Reservation(), 1'000'000, 1'000'000);  // nothing was reserved: nothing counts
  const KeyUsage usage = ledger.usage_of(kFirst);
  EXPECT_EQ(usage.requests, 2U);
  EXPECT_EQ(usage.refused, 1U);
  EXPECT_EQ(usage.tokens_in, 101U);
  EXPECT_EQ(usage.tokens_out, 22U);
  EXPECT_EQ(usage.running, 1U);
  EXPECT_EQ(usage.tenant, kTenant);
  EXPECT_EQ(ledger.usage_of(kSecondKey).requests, 0U);
  ASSERT_EQ(ledger.usage().size(), 1U);
}

TEST(Ledger, TakesNewLimitsFromTheNextCallOn) {
  Ledger ledger;
  auto running = ledger.reserve(kFirst, kTenant, 0);
  ledger.set_limits({.calls_of_key_max = 1});
  EXPECT_FALSE(ledger.reserve(kFirst, kTenant, 0));
  ledger.set_limits({.requests_per_minute = 2});
  EXPECT_TRUE(ledger.reserve(kFirst, kTenant, 0));
}

TEST(Ledger, NeverGoesOverItsLimitsUnderThreads) {
  constexpr std::uint32_t kTogether = 3;
  constexpr int kThreads = 8;
  constexpr int kCalls = 2000;
  Ledger ledger({.calls_max = kTogether});
  std::atomic<std::uint32_t> inside = 0;
  std::atomic<bool> over = false;
  std::atomic<std::uint64_t> admitted = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        const KeyId key("key_" + std::to_string(t % 3));
        for (int i = 0; i < kCalls; ++i) {
          auto reservation = ledger.reserve(key, kTenant, 0);
          if (!reservation) {
            continue;
          }
          if (inside.fetch_add(1) >= kTogether) {
            over = true;
          }
          inside.fetch_sub(1);
          ++admitted;
          ledger.settle(*std::move(reservation), 2, 1);
        }
      });
    }
  }
  EXPECT_FALSE(over);
  EXPECT_EQ(ledger.running(), 0U);
  std::uint64_t requests = 0;
  std::uint64_t tokens_in = 0;
  for (const KeyUsage& usage : ledger.usage()) {
    EXPECT_EQ(usage.running, 0U);
    requests += usage.requests;
    tokens_in += usage.tokens_in;
  }
  EXPECT_EQ(requests, admitted);
  EXPECT_EQ(tokens_in, 2 * admitted);
}

}  // namespace
}  // namespace deepmoat::quota
