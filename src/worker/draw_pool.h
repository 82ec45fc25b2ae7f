// Threads that share the drawing of one step's tokens. run() belongs to the decode thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace deepmoat::worker {

class DrawPool {
 public:
  // `threads`: beside the caller's; none: run() does all itself.
  explicit DrawPool(std::uint32_t threads);
  DrawPool(const DrawPool&) = delete;
  DrawPool& operator=(const DrawPool&) = delete;
  ~DrawPool();

  // Runs task(0) to task(count - 1), each once, on all threads, and returns when all are done.
  void run(std::size_t count, const std::function<void(std::size_t)>& task);

 private:
  void work(const std::stop_token& stop);
  void take_tasks();

  std::mutex mutex_;
  std::condition_variable_any begun_;
  std::condition_variable done_;
  const std::function<void(std::size_t)>* task_ = nullptr;
  std::size_t count_ = 0;
  std::uint64_t round_ = 0;
  std::size_t busy_ = 0;  // threads inside take_tasks
  std::atomic<std::size_t> next_{0};
  std::vector<std::jthread> threads_;
};

}  // namespace deepmoat::worker
