// Time, injected. The only place that reads a clock of the operating system.
#pragma once

#include <cstdint>

namespace deepmoat {

// Milliseconds since 1970 UTC; may jump when an administrator sets the clock.
using UnixMillis = std::int64_t;
// Nanoseconds of a clock that never jumps; meaningful only as a difference within one boot.
using MonoNanos = std::int64_t;

inline constexpr std::int64_t kDayMs = 24LL * 60 * 60 * 1000;

// Thread-safe in every implementation.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual UnixMillis unix_ms() const = 0;
  [[nodiscard]] virtual MonoNanos mono_ns() const = 0;
};

// CLOCK_REALTIME and CLOCK_MONOTONIC.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis unix_ms() const override;
  [[nodiscard]] MonoNanos mono_ns() const override;
};

// Stands still until a test moves it.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(UnixMillis start_ms) : unix_ms_(start_ms) {}
  [[nodiscard]] UnixMillis unix_ms() const override { return unix_ms_; }
  [[nodiscard]] MonoNanos mono_ns() const override { return mono_ns_; }
  void advance_ms(std::int64_t ms) {
    unix_ms_ += ms;
    mono_ns_ += ms * 1'000'000;
  }

 private:
  UnixMillis unix_ms_;
  MonoNanos mono_ns_ = 0;
};

}  // namespace deepmoat
