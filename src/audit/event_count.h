// Lets threads sleep until something has happened, and wakes them all with one system call.
//
// std::atomic::wait of GCC's library calls sched_yield() several times before it sleeps. With many
// waiters that is most of what an append costs, and on a busy machine each call gives a time slice
// away.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <limits>

namespace deepmoat::audit {

// Thread-safe. Look at count(), then at what you wait for, then wait() with the count.
class EventCount {
 public:
  [[nodiscard]] std::uint32_t count() const { return count_.load(std::memory_order_acquire); }

  // Returns when the count is no longer `seen`, and sometimes sooner.
  void wait(std::uint32_t seen) {
    // Before the kernel compares the count: advance() then sees one of the two.
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    ::syscall(SYS_futex, &count_, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
  }

  void advance() {
    count_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      ::syscall(SYS_futex, &count_, FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max(), nullptr,
                nullptr, 0);
    }
  }

 private:
  std::atomic<std::uint32_t> count_ = 0;  // what the kernel compares; 32 bits, as futexes are
  std::atomic<std::uint32_t> sleepers_ = 0;
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
};

}  // namespace deepmoat::audit
