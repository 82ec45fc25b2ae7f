// Hands values from other threads to a coroutine: workers, the audit log and blocking work all
// answer through one of these.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

namespace deepmoat::gateway {

namespace asio = boost::asio;

// push() from any thread; take() from one coroutine on the executor given at construction, which
// must belong to a single-threaded io_context. Shared: both sides hold it.
template <class T>
class Mailbox : public std::enable_shared_from_this<Mailbox<T>> {
 public:
  explicit Mailbox(const asio::any_io_executor& executor) : timer_(executor) {}

  void push(T item) {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = items_.empty();
      items_.push_back(std::move(item));
    }
    if (first) {
      // The wait is cancelled on its own thread, so it cannot slip between a reader's look into
      // the box and its wait.
      asio::post(timer_.get_executor(),
                 [self = this->shared_from_this()] { self->timer_.cancel(); });
    }
  }

  // Everything that has arrived; waits up to `timeout` for the first. Empty: nothing came.
  asio::awaitable<std::vector<T>> take(std::chrono::milliseconds timeout) {
    std::vector<T> taken = swap_items();
    timer_.expires_after(timeout);
    bool waited = false;
    while (taken.empty() && !waited) {
      // An item that was taken without a wait has left a cancellation behind: it ends a wait that
      // it was not meant for.
      const auto [cancelled] = co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      waited = !cancelled;
      taken = swap_items();
    }
    co_return taken;
  }

 private:
  std::vector<T> swap_items() {
    const std::lock_guard lock(mutex_);
    return std::exchange(items_, {});
  }

  std::mutex mutex_;
  std::vector<T> items_;
  asio::steady_timer timer_;
};

}  // namespace deepmoat::gateway
