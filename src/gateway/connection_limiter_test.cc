#include "gateway/connection_limiter.h"

#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

namespace deepmoat::gateway {
namespace {

TEST(ConnectionLimiter, HoldsBothLimits) {
  ConnectionLimiter limiter;
  const auto first = limiter.take("a", 3, 2);
  auto second = std::optional(limiter.take("a", 3, 2));
  EXPECT_TRUE(first.held() && second->held());
  EXPECT_FALSE(limiter.take("a", 3, 2).held()) << "two of one address";
  const auto third = limiter.take("b", 3, 2);
  EXPECT_TRUE(third.held());
  EXPECT_FALSE(limiter.take("c", 3, 2).held()) << "three in all";
  EXPECT_EQ(limiter.open(), 3U);
  second.reset();
  EXPECT_EQ(limiter.open(), 2U);
  EXPECT_TRUE(limiter.take("a", 3, 2).held());
}

TEST(ConnectionLimiter, RefusalTakesNothing) {
  ConnectionLimiter limiter;
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(limiter.take("a", 0, 5).held());
    EXPECT_FALSE(limiter.take("a", 5, 0).held());
  }
  EXPECT_EQ(limiter.open(), 0U);
  EXPECT_TRUE(limiter.take("a", 1, 1).held());
}

TEST(ConnectionLimiter, MovedSlotIsGivenBackOnce) {
  ConnectionLimiter limiter;
  {
    ConnectionSlot first = limiter.take("a", 5, 5);
    const ConnectionSlot second(std::move(first));
    EXPECT_FALSE(first.held());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(second.held());
    EXPECT_EQ(limiter.open(), 1U);
  }
  EXPECT_EQ(limiter.open(), 0U);
}

TEST(ConnectionLimiter, ThreadsNeverGetMoreThanTheLimit) {
  ConnectionLimiter limiter;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&limiter, t] {
      for (int i = 0; i < 2'000; ++i) {
        const auto slot = limiter.take(t % 2 == 0 ? "a" : "b", 3, 2);
        EXPECT_LE(limiter.open(), 3U);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(limiter.open(), 0U);
}

}  // namespace
}  // namespace deepmoat::gateway
