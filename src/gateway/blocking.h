// Runs work that blocks (SQLite, audit of an administrator's action) on its own thread while a
// coroutine waits.
#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <functional>

#include "gateway/mailbox.h"

namespace deepmoat::gateway {

// A place among those who wait for such a thread, while it lives; what goes over `most` is not
// taken, and answered with 503.
class WaitingPlace {
 public:
  WaitingPlace(std::atomic<int>& count, int most) : count_(count), taken_(++count <= most) {}
  ~WaitingPlace() { --count_; }
  WaitingPlace(const WaitingPlace&) = delete;
  WaitingPlace& operator=(const WaitingPlace&) = delete;
  [[nodiscard]] bool taken() const { return taken_; }

 private:
  std::atomic<int>& count_;
  const bool taken_;
};

template <class T>
asio::awaitable<T> run_blocking(asio::thread_pool& pool, std::move_only_function<T()> work) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto answer = std::make_shared<Mailbox<T>>(executor);
  asio::post(pool, [work = std::move(work), answer]() mutable { answer->push(work()); });
  for (;;) {
    std::vector<T> taken = co_await answer->take(std::chrono::hours(1));
    if (!taken.empty()) {
      co_return std::move(taken.front());
    }
  }
}

}  // namespace deepmoat::gateway
