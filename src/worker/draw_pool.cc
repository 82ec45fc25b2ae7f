#include "worker/draw_pool.h"

namespace deepmoat::worker {

DrawPool::DrawPool(std::uint32_t threads) {
  for (std::uint32_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

DrawPool::~DrawPool() {
  for (std::jthread& thread : threads_) {
    thread.request_stop();
  }
}

void DrawPool::run(std::size_t count, const std::function<void(std::size_t)>& task) {
  {
    const std::lock_guard lock(mutex_);
    task_ = &task;
    count_ = count;
    next_ = 0;
    ++round_;
  }
  if (count > 1) {
    begun_.notify_all();
  }
  take_tasks();
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
  task_ = nullptr;
}

void DrawPool::work(const std::stop_token& stop) {
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (!begun_.wait(lock, stop, [&] { return round_ != seen && task_ != nullptr; })) {
      return;
    }
    seen = round_;
    ++busy_;
    lock.unlock();
    take_tasks();
    lock.lock();
    --busy_;
    if (busy_ == 0) {
      done_.notify_one();
    }
  }
}

void DrawPool::take_tasks() {
  for (std::size_t i = next_++; i < count_; i = next_++) {
    (*task_)(i);
  }
}

}  // namespace deepmoat::worker
