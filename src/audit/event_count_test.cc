#include "audit/event_count.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace deepmoat::audit {
namespace {

TEST(EventCount, DoesNotSleepOnACountThatIsOver) {
  EventCount events;
  const std::uint32_t seen = events.count();
  events.advance();
  EXPECT_NE(events.count(), seen);
  events.wait(seen);  // would never return
}

// Two sides that wait for each other's turn: a lost wake-up would hang them.
TEST(EventCount, LosesNoWakeUp) {
  constexpr int kTurns = 20'000;
  EventCount events;
  std::atomic<int> turn = 0;
  const auto play = [&](int mine) {
    while (turn.load() < kTurns) {
      const std::uint32_t seen = events.count();
      if (turn.load() % 2 == mine) {
        ++turn;
        events.advance();
      } else if (turn.load() < kTurns) {
        events.wait(seen);
      }
    }
  };
  std::thread even(play, 0);
  std::thread odd(play, 1);
  even.join();
  odd.join();
  EXPECT_GE(turn.load(), kTurns);
}

TEST(EventCount, WakesAllThatSleep) {
  EventCount events;
  std::atomic<bool> over = false;
  std::atomic<int> woken = 0;
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 8; ++i) {
    sleepers.emplace_back([&] {
      for (;;) {
        const std::uint32_t seen = events.count();
        if (over.load()) {
          ++woken;
          return;
        }
        events.wait(seen);
      }
    });
  }
  over = true;
  events.advance();
  for (std::thread& sleeper : sleepers) {
    sleeper.join();
  }
  EXPECT_EQ(woken.load(), 8);
}

}  // namespace
}  // namespace deepmoat::audit
