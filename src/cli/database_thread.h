// Database work from other threads: it is done on the one thread that the database belongs to.
#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <future>
#include <memory>
#include <utility>

#include "base/result.h"

namespace deepmoat::cli {

// Waits for it. Code::unavailable when the thread has ended. REQUIRES: not on that thread.
template <class T>
Result<T> on_database_thread(boost::asio::thread_pool& blocking,
                             std::move_only_function<Result<T>()> work) {
  const auto task = std::make_shared<std::packaged_task<Result<T>()>>(std::move(work));
  std::future<Result<T>> answer = task->get_future();
  boost::asio::post(blocking, [task] { (*task)(); });
  try {
    return answer.get();
  } catch (const std::future_error&) {
    return fail(Code::unavailable, "the server is ending");
  }
}

}  // namespace deepmoat::cli
