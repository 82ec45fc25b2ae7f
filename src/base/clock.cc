#include "base/clock.h"

#include <time.h>

namespace deepmoat {

namespace {
timespec read_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return now;
}
}  // namespace

UnixMillis SystemClock::unix_ms() const {
  const timespec now = read_clock(CLOCK_REALTIME);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

MonoNanos SystemClock::mono_ns() const {
  const timespec now = read_clock(CLOCK_MONOTONIC);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace deepmoat
