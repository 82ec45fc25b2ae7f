// Looks after custody from a thread of its own: every ten seconds the canary, so that a token which
// vanished, hangs or lies is known before somebody needs it.
//
//   up      everything may be done
//   lost    the canary fails: what is verified goes on for the grace time, nothing new is issued
//   sealed  lost for longer than the grace time, or the answers are wrong: nothing is served
//
// Each failed check is followed by an attempt to begin anew with the device; once it answers
// rightly the state is up again.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "crypto/custody.h"

namespace deepmoat::crypto {

enum class CustodyState : std::uint8_t { up, lost, sealed };
[[nodiscard]] std::string_view custody_state_name(CustodyState state);

struct CustodyHealth {
  CustodyState state = CustodyState::up;
  UnixMillis lost_since_ms = 0;    // 0: up
  UnixMillis seals_at_ms = 0;      // when the grace time ends; 0: up
  std::int64_t last_check_ms = 0;  // how long the last canary took, or takes by now
  std::string reason;              // empty: up
};

struct CustodyWatchOptions {
  std::int64_t interval_ms = 10'000;
  std::int64_t patience_ms = 30'000;  // a canary that has not come back by then counts as lost
  std::int64_t grace_ms = 24LL * 60 * 60 * 1000;
};

class CustodyWatch {
 public:
  // `on_change` hears of every new state, on the watching thread; while it returns false it hears
  // of it again after each check. Everything must outlive this.
  using OnChange = std::function<bool(const CustodyHealth&)>;
  CustodyWatch(KeyCustody& custody, CustodyWatchOptions options, const Clock& clock,
               OnChange on_change);
  CustodyWatch(const CustodyWatch&) = delete;
  CustodyWatch& operator=(const CustodyWatch&) = delete;
  ~CustodyWatch();

  // Begins the thread. Without it, check_now() is all that looks.
  void start();
  // Ends it. False: it is inside a call of the device that has not come back within `wait_ms`; then
  // only the end of the process ends it, and this object's destructor would wait for it.
  [[nodiscard]] bool stop(std::int64_t wait_ms);
  // One canary, and recovery if it fails; blocking.
  void check_now();

  // Cheap, for every call: one clock and two atomics. Thread-safe, as everything below.
  [[nodiscard]] CustodyState state() const;
  [[nodiscard]] CustodyHealth health() const;
  // Code::custody_unavailable with the reason unless the state is up.
  [[nodiscard]] Result<> may_issue() const;
  // The same when the state is sealed.
  [[nodiscard]] Result<> may_serve() const;

 private:
  void run(const std::stop_token& stop);
  void settle(const Result<>& checked);
  void tell_change();
  [[nodiscard]] MonoNanos lost_since_ns() const;
  [[nodiscard]] Result<> refuse(const char* what) const;

  KeyCustody& custody_;
  const CustodyWatchOptions options_;
  const Clock& clock_;
  const OnChange on_change_;
  std::atomic<MonoNanos> lost_ns_ = 0;     // since when the canary fails; 0: it does not
  std::atomic<MonoNanos> running_ns_ = 0;  // when the canary that runs began; 0: none
  std::atomic<bool> lied_ = false;
  std::atomic<std::int64_t> last_check_ms_ = 0;
  mutable std::mutex mutex_;
  std::string reason_;
  CustodyState told_ = CustodyState::up;  // on the watching thread
  std::mutex sleep_mutex_;
  std::condition_variable_any sleep_;
  std::future<void> ended_;  // of the thread
  std::jthread thread_;
};

}  // namespace deepmoat::crypto
