// Guessing is slowed down per address; memory is bounded; neighbours do not suffer.
#include "identity/failure_limiter.h"

#include <gtest/gtest.h>

#include <string>

namespace deepmoat::identity {
namespace {

constexpr MonoNanos kSecond = 1'000'000'000;

TEST(FailureLimiter, RefusesAfterTwentyFailuresAndRecovers) {
  FailureLimiter limiter;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(limiter.retry_after_s("192.0.2.1", 0), 0U) << i;
    limiter.record_failure("192.0.2.1", 0);
  }
  EXPECT_EQ(limiter.retry_after_s("192.0.2.1", 0), 3U);
  EXPECT_EQ(limiter.retry_after_s("192.0.2.2", 0), 0U);
  EXPECT_EQ(limiter.retry_after_s("192.0.2.1", 3 * kSecond), 0U);
  limiter.record_failure("192.0.2.1", 3 * kSecond);
  EXPECT_GT(limiter.retry_after_s("192.0.2.1", 3 * kSecond), 0U);
  EXPECT_EQ(limiter.retry_after_s("192.0.2.1", 63 * kSecond), 0U);
}

TEST(FailureLimiter, DoesNotLockOutForLongerThanItSays) {
  FailureLimiter limiter;
  for (int i = 0; i < 10'000; ++i) {
    limiter.record_failure("192.0.2.1", 0);
  }
  const auto wait_s = limiter.retry_after_s("192.0.2.1", 0);
  EXPECT_LE(wait_s, 60U);
  EXPECT_EQ(limiter.retry_after_s("192.0.2.1", wait_s * kSecond), 0U);
}

TEST(FailureLimiter, CountsASpellingOfAnAddressOnce) {
  FailureLimiter limiter({.failures_per_minute = 1});
  limiter.record_failure("2001:db8::1", 0);
  EXPECT_GT(limiter.retry_after_s("2001:0db8:0:0:0:0:0:1", 0), 0U);
  EXPECT_GT(limiter.retry_after_s("2001:db8::ffff:1234", 0), 0U) << "one customer has the /64";
  EXPECT_EQ(limiter.retry_after_s("2001:db8:0:1::1", 0), 0U);
  limiter.record_failure("192.0.2.7", 0);
  EXPECT_GT(limiter.retry_after_s("::ffff:192.0.2.7", 0), 0U);
  EXPECT_EQ(limiter.addresses(), 2U);
}

TEST(FailureLimiter, KeepsItsMemoryBounded) {
  FailureLimiter limiter({.failures_per_minute = 20, .addresses_max = 160});
  for (int i = 0; i < 100'000; ++i) {
    limiter.record_failure("10." + std::to_string(i % 256) + "." + std::to_string(i / 256 % 256) +
                               "." + std::to_string(i / 65'536),
                           i);
  }
  EXPECT_LE(limiter.addresses(), 160U);
}

TEST(FailureLimiter, CanBeSwitchedOff) {
  FailureLimiter limiter({.failures_per_minute = 0});
  for (int i = 0; i < 100; ++i) {
    limiter.record_failure("192.0.2.1", 0);
  }
  EXPECT_EQ(limiter.retry_after_s("192.0.2.1", 0), 0U);
}

}  // namespace
}  // namespace deepmoat::identity
