// The canary's verdicts by a clock that stands still, and the file's own custody under it.
#include "crypto/custody_watch.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "base/file.h"
#include "crypto/scratch_custody.h"

namespace deepmoat::crypto {
namespace {

constexpr std::int64_t kHourMs = 60LL * 60 * 1000;

class CustodyWatchTest : public testing::Test {
 protected:
  CustodyWatchTest()
      : clock_(1'795'000'000'000),
        watch_(scratch_.custody(), {.grace_ms = 24 * kHourMs}, clock_,
               [this](const CustodyHealth& health) {
                 told_.push_back(health.state);
                 return true;
               }) {}

  void fail_with(Code code) { scratch_.custody().check_fails = Error{code, "no answer"}; }
  void heal() { scratch_.custody().check_fails.reset(); }

  ScratchCustody scratch_;
  ManualClock clock_;
  std::vector<CustodyState> told_;
  CustodyWatch watch_;
};

TEST_F(CustodyWatchTest, IsUpWhileTheCanarySings) {
  watch_.check_now();
  EXPECT_EQ(watch_.state(), CustodyState::up);
  EXPECT_TRUE(watch_.may_issue());
  EXPECT_TRUE(watch_.may_serve());
  EXPECT_EQ(watch_.health().lost_since_ms, 0);
  EXPECT_TRUE(told_.empty());
}

TEST_F(CustodyWatchTest, ServesForTheGraceTimeAndIssuesNothing) {
  clock_.advance_ms(5);
  const UnixMillis lost_ms = clock_.unix_ms();
  fail_with(Code::unavailable);
  watch_.check_now();
  EXPECT_EQ(watch_.state(), CustodyState::lost);
  EXPECT_TRUE(watch_.may_serve());
  const auto refused = watch_.may_issue();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::custody_unavailable);
  EXPECT_NE(refused.error().message.find("no answer"), std::string::npos);
  EXPECT_EQ(watch_.health().lost_since_ms, lost_ms);
  EXPECT_EQ(watch_.health().seals_at_ms, lost_ms + 24 * kHourMs);
  EXPECT_EQ(scratch_.custody().recoveries, 1);

  clock_.advance_ms(24 * kHourMs);
  watch_.check_now();
  EXPECT_EQ(watch_.state(), CustodyState::lost);  // to the last millisecond
  EXPECT_EQ(watch_.health().lost_since_ms, lost_ms);
  clock_.advance_ms(1);
  EXPECT_EQ(watch_.state(), CustodyState::sealed);  // also between two canaries
  EXPECT_EQ(watch_.may_serve().error().code, Code::custody_unavailable);
  watch_.check_now();
  EXPECT_EQ(told_, (std::vector{CustodyState::lost, CustodyState::sealed}));

  heal();
  watch_.check_now();
  EXPECT_EQ(watch_.state(), CustodyState::up);
  EXPECT_TRUE(watch_.may_issue());
  EXPECT_EQ(told_.back(), CustodyState::up);
}

TEST_F(CustodyWatchTest, SealsALiarAtOnceUntilItAnswersRightly) {
  fail_with(Code::corrupt);
  watch_.check_now();
  EXPECT_EQ(watch_.state(), CustodyState::sealed);
  EXPECT_FALSE(watch_.may_serve());
  fail_with(Code::unavailable);  // silence does not make up for it
  watch_.check_now();
  EXPECT_EQ(watch_.state(), CustodyState::sealed);
  heal();
  watch_.check_now();
  EXPECT_EQ(watch_.state(), CustodyState::up);
}

// A canary inside which time passes: seen from outside, it hangs.
class HangingCustody final : public KeyCustody {
 public:
  explicit HangingCustody(std::function<void()> inside) : inside_(std::move(inside)) {}
  Result<RootSecrets> root_secrets() override { return unused(); }
  Result<Secret> derive(std::string_view) override { return unused(); }
  Result<> generate(std::uint64_t) override { return unused(); }
  Result<std::vector<std::uint64_t>> generations() override { return unused(); }
  Result<> destroy(std::uint64_t) override { return unused(); }
  Result<std::string> wrap(std::uint64_t, const Secret&, std::string_view) override {
    return unused();
  }
  Result<Secret> unwrap(std::uint64_t, std::string_view, std::string_view) override {
    return unused();
  }
  Result<> check() override {
    inside_();
    return {};
  }
  Result<> recover() override { return {}; }
  CustodyFacts describe() override { return {}; }

 private:
  static std::unexpected<Error> unused() { return fail(Code::internal, "not for this test"); }

  std::function<void()> inside_;
};

TEST(CustodyWatch, CountsACanaryThatDoesNotComeBackAsLost) {
  ManualClock clock(1'795'000'000'000);
  clock.advance_ms(1);
  std::vector<CustodyState> seen;
  CustodyWatch* watching = nullptr;
  HangingCustody custody([&] {
    for (const std::int64_t ms : {30'000, 1, 3'600'000}) {
      clock.advance_ms(ms);
      seen.push_back(watching->state());
    }
    EXPECT_EQ(watching->may_issue().error().code, Code::custody_unavailable);
    EXPECT_NE(watching->health().reason.find("does not come back"), std::string::npos);
    EXPECT_EQ(watching->health().last_check_ms, 3'630'001);
  });
  CustodyWatch watch(custody, {.patience_ms = 30'000, .grace_ms = 3'600'000}, clock, nullptr);
  watching = &watch;
  watch.check_now();
  EXPECT_EQ(seen, (std::vector{CustodyState::up, CustodyState::lost, CustodyState::sealed}));
  EXPECT_EQ(watch.state(), CustodyState::up);  // it did come back
}

TEST(CustodyWatch, DoesNotWaitForADeviceThatDoesNotComeBack) {
  const SystemClock clock;
  std::promise<void> inside;
  std::promise<void> back;
  HangingCustody custody([&, come_back = back.get_future().share()] {
    inside.set_value();
    come_back.wait();
  });
  CustodyWatch watch(custody, {.interval_ms = 1}, clock, nullptr);
  EXPECT_TRUE(watch.stop(0)) << "no thread was begun";
  watch.start();
  inside.get_future().wait();
  EXPECT_FALSE(watch.stop(1));
  back.set_value();
  EXPECT_TRUE(watch.stop(600'000));
}

TEST(CustodyWatch, TellsAgainUntilWhatHadToBeDoneIsDone) {
  ScratchCustody scratch;
  ManualClock clock(1'795'000'000'000);
  clock.advance_ms(1);
  int told = 0;
  CustodyWatch watch(scratch.custody(), {}, clock, [&](const CustodyHealth& health) {
    EXPECT_EQ(health.state, CustodyState::lost);
    return ++told == 3;
  });
  scratch.custody().check_fails = Error{Code::unavailable, "gone"};
  for (int i = 0; i < 5; ++i) {
    watch.check_now();
  }
  EXPECT_EQ(told, 3);
}

TEST(CustodyWatch, FindsThatTheKeyFileIsGoneOrAnother) {
  ScratchCustody scratch;
  ScratchCustody other;
  ManualClock clock(1'795'000'000'000);
  clock.advance_ms(1);
  CustodyWatch watch(scratch.custody(), {}, clock, nullptr);
  const std::filesystem::path path = scratch.keys() / "root.key";
  const std::string good = *read_file(path, 4096);
  std::filesystem::remove(path);
  watch.check_now();
  EXPECT_EQ(watch.state(), CustodyState::lost);
  ASSERT_TRUE(write_file_atomic(path, good, 0600));
  watch.check_now();
  EXPECT_EQ(watch.state(), CustodyState::up);
  ASSERT_TRUE(write_file_atomic(path, *read_file(other.keys() / "root.key", 4096), 0600));
  watch.check_now();
  EXPECT_EQ(watch.state(), CustodyState::sealed);
}

TEST(CustodyWatch, LooksFromAThreadOfItsOwn) {
  ScratchCustody scratch;
  const SystemClock clock;
  std::atomic<int> told = 0;
  scratch.custody().check_fails = Error{Code::unavailable, "gone"};
  {
    CustodyWatch watch(scratch.custody(), {.interval_ms = 1}, clock, [&](const CustodyHealth&) {
      ++told;
      return true;
    });
    watch.start();
    while (told == 0) {
      std::this_thread::yield();
    }
    EXPECT_EQ(watch.state(), CustodyState::lost);
  }  // and ends when it is told to
  EXPECT_EQ(told, 1);
}

}  // namespace
}  // namespace deepmoat::crypto
