// The canary. State is computed from times when somebody asks, so a check that hangs cannot hide
// that it hangs.
#include "crypto/custody_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace deepmoat::crypto {

namespace {

constexpr std::int64_t kNanosPerMilli = 1'000'000;

}  // namespace

std::string_view custody_state_name(CustodyState state) {
  switch (state) {
    case CustodyState::up:
      return "up";
    case CustodyState::lost:
      return "lost";
    case CustodyState::sealed:
      return "sealed";
  }
  return "unknown";
}

CustodyWatch::CustodyWatch(KeyCustody& custody, CustodyWatchOptions options, const Clock& clock,
                           OnChange on_change)
    : custody_(custody), options_(options), clock_(clock), on_change_(std::move(on_change)) {}

CustodyWatch::~CustodyWatch() = default;

void CustodyWatch::start() {
  std::promise<void> ended;
  ended_ = ended.get_future();
  thread_ = std::jthread([this, ended = std::move(ended)](const std::stop_token& stop) mutable {
    run(stop);
    ended.set_value();
  });
}

bool CustodyWatch::stop(std::int64_t wait_ms) {
  thread_.request_stop();
  return !ended_.valid() ||
         ended_.wait_for(std::chrono::milliseconds(wait_ms)) == std::future_status::ready;
}

void CustodyWatch::run(const std::stop_token& stop) {
  std::unique_lock lock(sleep_mutex_);
  while (!stop.stop_requested()) {
    sleep_.wait_for(lock, stop, std::chrono::milliseconds(options_.interval_ms),
                    [] { return false; });
    if (!stop.stop_requested()) {
      check_now();
    }
  }
}

void CustodyWatch::check_now() {
  const MonoNanos begun = std::max<MonoNanos>(clock_.mono_ns(), 1);
  running_ns_ = begun;
  Result<> checked = custody_.check();
  if (!checked) {
    settle(checked);
    tell_change();  // before the recovery, which may take long
    checked = custody_.recover();
  }
  settle(checked);
  last_check_ms_ = (clock_.mono_ns() - begun) / kNanosPerMilli;
  running_ns_ = 0;
  tell_change();
}

void CustodyWatch::settle(const Result<>& checked) {
  const std::lock_guard lock(mutex_);
  reason_ = checked ? std::string() : checked.error().message;
  if (checked) {
    lied_ = false;
    lost_ns_ = 0;
    return;
  }
  // Once a liar, sealed until it answers rightly: that it is silent now makes nothing better.
  lied_ = lied_ || checked.error().code == Code::corrupt;
  if (lost_ns_ == 0) {
    lost_ns_ = std::max<MonoNanos>(clock_.mono_ns(), 1);
  }
}

void CustodyWatch::tell_change() {
  const CustodyHealth now = health();
  if (now.state == told_) {
    return;
  }
  if (!on_change_ || on_change_(now)) {
    told_ = now.state;
  }
}

MonoNanos CustodyWatch::lost_since_ns() const {
  const MonoNanos lost = lost_ns_;
  const MonoNanos running = running_ns_;
  if (lost != 0 || running == 0) {
    return lost;
  }
  const bool hangs = clock_.mono_ns() - running > options_.patience_ms * kNanosPerMilli;
  return hangs ? running : 0;
}

CustodyState CustodyWatch::state() const {
  const MonoNanos lost = lost_since_ns();
  if (lied_) {
    return CustodyState::sealed;
  }
  if (lost == 0) {
    return CustodyState::up;
  }
  const bool over = clock_.mono_ns() - lost > options_.grace_ms * kNanosPerMilli;
  return over ? CustodyState::sealed : CustodyState::lost;
}

CustodyHealth CustodyWatch::health() const {
  CustodyHealth health;
  health.state = state();
  health.last_check_ms = last_check_ms_;
  if (const MonoNanos running = running_ns_; running != 0) {
    health.last_check_ms =
        std::max(health.last_check_ms, (clock_.mono_ns() - running) / kNanosPerMilli);
  }
  if (health.state == CustodyState::up) {
    return health;
  }
  const std::int64_t lost_for_ms = (clock_.mono_ns() - lost_since_ns()) / kNanosPerMilli;
  health.lost_since_ms = clock_.unix_ms() - lost_for_ms;
  health.seals_at_ms = health.lost_since_ms + (lied_ ? 0 : options_.grace_ms);
  const std::lock_guard lock(mutex_);
  health.reason = reason_.empty() ? "the canary does not come back" : reason_;
  return health;
}

Result<> CustodyWatch::refuse(const char* what) const {
  const CustodyHealth now = health();
  return fail(Code::custody_unavailable, fmt::format("{}: the root keys are {} ({})", what,
                                                     custody_state_name(now.state), now.reason));
}

Result<> CustodyWatch::may_issue() const {
  return state() == CustodyState::up ? Result<>() : refuse("nothing new is issued");
}

Result<> CustodyWatch::may_serve() const {
  return state() != CustodyState::sealed ? Result<>() : refuse("nothing is served");
}

}  // namespace deepmoat::crypto
