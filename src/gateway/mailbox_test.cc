#include "gateway/mailbox.h"

#include <gtest/gtest.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <thread>

#include "gateway/blocking.h"

namespace deepmoat::gateway {
namespace {

using IntBox = Mailbox<int>;
constexpr std::chrono::milliseconds kLong{3'600'000};

asio::awaitable<void> take_once(std::shared_ptr<IntBox> box, std::chrono::milliseconds timeout,
                                std::vector<int>* taken) {
  *taken = co_await box->take(timeout);
}

asio::awaitable<void> take_until(std::shared_ptr<IntBox> box, std::size_t count,
                                 std::vector<int>* taken) {
  while (taken->size() < count) {
    const std::vector<int> some = co_await box->take(kLong);
    taken->insert(taken->end(), some.begin(), some.end());
  }
}

TEST(Mailbox, WhatIsThereIsTakenAtOnceAndInOrder) {
  asio::io_context context(1);
  const auto box = std::make_shared<IntBox>(context.get_executor());
  box->push(1);
  box->push(2);
  box->push(3);
  std::vector<int> taken;
  asio::co_spawn(context, take_once(box, kLong, &taken), asio::detached);
  context.run();
  EXPECT_EQ(taken, (std::vector<int>{1, 2, 3}));
}

TEST(Mailbox, NothingWithinTheTimeIsNothing) {
  asio::io_context context(1);
  const auto box = std::make_shared<IntBox>(context.get_executor());
  std::vector<int> taken = {9};
  asio::co_spawn(context, take_once(box, std::chrono::milliseconds(1), &taken), asio::detached);
  context.run();
  EXPECT_TRUE(taken.empty());
}

// No push may slip between the reader's look and its wait: then run() would never end.
TEST(Mailbox, EveryItemOfEveryThreadArrives) {
  constexpr int kThreads = 4;
  constexpr int kItems = 5'000;
  asio::io_context context(1);
  const auto box = std::make_shared<IntBox>(context.get_executor());
  std::vector<int> taken;
  asio::co_spawn(context, take_until(box, kThreads * kItems, &taken), asio::detached);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([box, t] {
        for (int i = 0; i < kItems; ++i) {
          box->push(t * kItems + i);
        }
      });
    }
    context.run();
  }
  ASSERT_EQ(taken.size(), static_cast<std::size_t>(kThreads * kItems));
  std::vector<int> last(kThreads, -1);
  for (const int item : taken) {
    EXPECT_LT(last[item / kItems], item) << "out of order within one thread";
    last[item / kItems] = item;
  }
}

TEST(Mailbox, OneAtATimeEachWakesTheReader) {
  asio::io_context context(1);
  const auto box = std::make_shared<IntBox>(context.get_executor());
  std::vector<int> taken;
  asio::co_spawn(context, take_until(box, 500, &taken), asio::detached);
  std::jthread pusher([box] {
    for (int i = 0; i < 500; ++i) {
      box->push(i);
      std::this_thread::yield();
    }
  });
  context.run();
  EXPECT_EQ(taken.size(), 500U);
}

asio::awaitable<void> take_twice(std::shared_ptr<IntBox> box, std::vector<int>* first,
                                 std::vector<int>* second) {
  *first = co_await box->take(kLong);
  *second = co_await box->take(kLong);
}

// The push finds the reader before its first look, so its wake-up comes during the next wait.
TEST(Mailbox, AWakeUpForWhatWasTakenAtOnceDoesNotEndTheNextWait) {
  asio::io_context context(1);
  const auto box = std::make_shared<IntBox>(context.get_executor());
  std::vector<int> first;
  std::vector<int> second = {9};
  asio::co_spawn(context, take_twice(box, &first, &second), asio::detached);
  box->push(1);
  context.poll();
  EXPECT_EQ(first, (std::vector<int>{1}));
  EXPECT_EQ(second, (std::vector<int>{9})) << "the wait ended, and nothing had come";
  box->push(2);
  context.run();
  EXPECT_EQ(second, (std::vector<int>{2}));
}

TEST(Mailbox, OutlivesItsReader) {
  asio::io_context context(1);
  const auto box = std::make_shared<IntBox>(context.get_executor());
  std::vector<int> taken;
  asio::co_spawn(context, take_once(box, std::chrono::milliseconds(1), &taken), asio::detached);
  context.run();
  box->push(1);  // a worker's last event after the call has ended
}

asio::awaitable<void> run_two(asio::thread_pool* pool, std::vector<std::thread::id>* ran_on) {
  for (int i = 0; i < 2; ++i) {
    std::move_only_function<std::thread::id()> work = [] { return std::this_thread::get_id(); };
    const std::thread::id id = co_await run_blocking<std::thread::id>(*pool, std::move(work));
    ran_on->push_back(id);
    ran_on->push_back(std::this_thread::get_id());
  }
}

TEST(RunBlocking, RunsOnThePoolAndComesBack) {
  asio::io_context context(1);
  asio::thread_pool pool(1);
  std::vector<std::thread::id> ran_on;
  asio::co_spawn(context, run_two(&pool, &ran_on), asio::detached);
  context.run();
  pool.join();
  ASSERT_EQ(ran_on.size(), 4U);
  EXPECT_NE(ran_on[0], std::this_thread::get_id());
  EXPECT_EQ(ran_on[0], ran_on[2]);
  EXPECT_EQ(ran_on[1], std::this_thread::get_id());
  EXPECT_EQ(ran_on[3], std::this_thread::get_id());
}

}  // namespace
}  // namespace deepmoat::gateway
