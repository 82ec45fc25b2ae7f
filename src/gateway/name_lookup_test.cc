// Names that take their time hold up nobody but their owner.
#include "gateway/name_lookup.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <optional>
#include <thread>

namespace deepmoat::gateway {
namespace {

namespace asio = boost::asio;
using Found = Result<NameLookup::Addresses>;
using std::chrono::hours;
using std::chrono::milliseconds;

const auto kAddress = asio::ip::make_address("192.0.2.7");

// A resolver in which names that begin with "slow" wait until they are let go.
class Resolver {
 public:
  ~Resolver() { let_go(); }
  NameLookup::Resolve resolve() {
    return [shared = shared_](const std::string& host) -> Found {
      ++shared->begun;
      if (host.starts_with("slow")) {
        shared->released.wait(false);
      }
      ++shared->ended;
      return NameLookup::Addresses{kAddress};
    };
  }
  void let_go() {
    shared_->released = true;
    shared_->released.notify_all();
  }
  [[nodiscard]] int begun() const { return shared_->begun; }
  [[nodiscard]] int ended() const { return shared_->ended; }

 private:
  struct Shared {
    std::atomic<bool> released = false;
    std::atomic<int> begun = 0;
    std::atomic<int> ended = 0;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

class NameLookupTest : public testing::Test {
 protected:
  // Begins a look-up; its answer comes while the context runs.
  std::shared_ptr<std::optional<Found>> begin(NameLookup& lookup, const std::string& owner,
                                              const std::string& host, milliseconds patience) {
    auto answer = std::make_shared<std::optional<Found>>();
    asio::co_spawn(
        context_,
        [&lookup, owner, host, patience, answer]() -> asio::awaitable<void> {
          Found found = co_await lookup.look_up(owner, host, patience);
          *answer = std::move(found);
        },
        [](const std::exception_ptr& failure) { EXPECT_FALSE(failure); });
    return answer;
  }
  void run_until(const std::shared_ptr<std::optional<Found>>& answer) {
    while (!answer->has_value()) {
      context_.run_one();
    }
  }

  asio::io_context context_{1};
  // run_one() waits for the threads' answers also when nothing else is to be done.
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
};

TEST_F(NameLookupTest, OneOwnersSlowNamesHoldUpNobodyElse) {
  Resolver resolver;
  NameLookup lookup(resolver.resolve());
  std::vector<std::shared_ptr<std::optional<Found>>> slow;
  for (std::size_t i = 0; i < kLookupsOfOwnerMax; ++i) {
    slow.push_back(begin(lookup, "hr", "slow.example", hours(1)));
  }
  const auto further = begin(lookup, "hr", "quick.example", hours(1));
  const auto other = begin(lookup, "it", "quick.example", hours(1));
  run_until(further);
  EXPECT_EQ((*further)->error().code, Code::resource_exhausted);
  run_until(other);
  EXPECT_EQ(***other, NameLookup::Addresses{kAddress});
  EXPECT_FALSE(slow.front()->has_value());
  resolver.let_go();
  for (const auto& answer : slow) {
    run_until(answer);
    EXPECT_EQ(***answer, NameLookup::Addresses{kAddress});
  }
  const auto again = begin(lookup, "hr", "quick.example", hours(1));
  run_until(again);
  EXPECT_TRUE((*again)->has_value()) << "those that ended do not count";
}

TEST_F(NameLookupTest, GivesUpWhileTheResolverHangsAndStillCountsIt) {
  Resolver resolver;
  NameLookup lookup(resolver.resolve());
  for (std::size_t i = 0; i < kLookupsOfOwnerMax; ++i) {
    const auto late = begin(lookup, "hr", "slow.example", milliseconds(1));
    run_until(late);
    EXPECT_EQ((*late)->error().code, Code::timeout);
  }
  EXPECT_EQ(resolver.ended(), 0);
  const auto further = begin(lookup, "hr", "quick.example", hours(1));
  run_until(further);
  EXPECT_EQ((*further)->error().code, Code::resource_exhausted);
}

TEST_F(NameLookupTest, AnAddressNeedsNoLookUp) {
  NameLookup lookup([](const std::string&) -> Found { return fail(Code::internal, "asked"); });
  const auto answer = begin(lookup, "hr", "192.0.2.7", hours(1));
  run_until(answer);
  EXPECT_EQ(***answer, NameLookup::Addresses{kAddress});
}

TEST(NameLookup, ALookUpMayOutliveEverything) {
  Resolver resolver;
  {
    asio::io_context context{1};
    NameLookup lookup(resolver.resolve());
    asio::co_spawn(
        context,
        [&]() -> asio::awaitable<void> {
          [[maybe_unused]] const Found found =
              co_await lookup.look_up("hr", "slow.example", hours(1));
        },
        [](const std::exception_ptr&) {});
    while (resolver.begun() == 0) {
      context.poll_one();
      std::this_thread::yield();
    }
  }
  resolver.let_go();  // its thread finds nobody to tell
  while (resolver.ended() == 0) {
    std::this_thread::yield();
  }
}

TEST(NameLookup, TheSystemKnowsThisMachine) {
  const auto found = NameLookup::resolve("localhost");
  ASSERT_TRUE(found) << found.error().message;
  for (const auto& address : *found) {
    EXPECT_TRUE(address.is_loopback());
  }
  EXPECT_FALSE(NameLookup::resolve(std::string(300, 'x')));  // no name is that long
}

}  // namespace
}  // namespace deepmoat::gateway
