#include "base/clock.h"

#include <gtest/gtest.h>

#include <type_traits>
#include <unordered_set>

#include "base/strong.h"

namespace deepmoat {
namespace {

TEST(ManualClock, MovesWhenToldTo) {
  ManualClock clock(1'000);
  EXPECT_EQ(clock.unix_ms(), 1'000);
  EXPECT_EQ(clock.mono_ns(), 0);
  clock.advance_ms(250);
  EXPECT_EQ(clock.unix_ms(), 1'250);
  EXPECT_EQ(clock.mono_ns(), 250'000'000);
}

TEST(SystemClock, IsInMillisecondsOfThisCenturyAndNeverGoesBack) {
  const SystemClock clock;
  EXPECT_GT(clock.unix_ms(), 1'700'000'000'000);
  EXPECT_LT(clock.unix_ms(), 4'102'444'800'000);
  MonoNanos last = clock.mono_ns();
  for (int i = 0; i < 1'000; ++i) {
    const MonoNanos now = clock.mono_ns();
    ASSERT_LE(last, now);
    last = now;
  }
}

static_assert(!std::is_convertible_v<std::string, KeyId>);
static_assert(!std::is_convertible_v<KeyId, std::string>);
static_assert(!std::is_constructible_v<KeyId, TenantId>);
static_assert(!std::is_assignable_v<KeyId&, TenantId>);
static_assert(!std::is_convertible_v<int, CallId>);

template <class A, class B>
concept Comparable = requires(const A& a, const B& b) { a == b; };
static_assert(Comparable<KeyId, KeyId> && !Comparable<KeyId, TenantId>);
static_assert(!Comparable<KeyId, std::string>);

TEST(Strong, ComparesAndHashesAsItsValue) {
  EXPECT_EQ(KeyId("a"), KeyId("a"));
  EXPECT_LT(KeyId("a"), KeyId("b"));
  EXPECT_EQ(KeyId().value(), "");
  const std::unordered_set<CallId> set = {CallId(1), CallId(2), CallId(1)};
  EXPECT_EQ(set.size(), 2U);
}

}  // namespace
}  // namespace deepmoat
