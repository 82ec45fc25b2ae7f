// Slows down guessing: an address that fails to authenticate too often is refused before any
// look-up. A token bucket an address; thread-safe, bounded, sharded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"

namespace deepmoat::identity {

struct FailureLimiterOptions {
  std::uint32_t failures_per_minute = 20;  // also the burst; 0 = no limit
  std::size_t addresses_max = 65'536;      // beyond it the address idle for longest is forgotten
};

class FailureLimiter {
 public:
  explicit FailureLimiter(FailureLimiterOptions options = {});
  ~FailureLimiter();
  FailureLimiter(const FailureLimiter&) = delete;
  FailureLimiter& operator=(const FailureLimiter&) = delete;

  // Seconds to wait for an answer of 429, or 0: go on. Ask before authenticate(). IPv6 addresses
  // count by their first 64 bits, which is what one customer gets.
  [[nodiscard]] std::uint32_t retry_after_s(std::string_view address, MonoNanos now_ns) const;

  // Tell it of every failed authentication.
  void record_failure(std::string_view address, MonoNanos now_ns);

  [[nodiscard]] std::size_t addresses() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::identity
