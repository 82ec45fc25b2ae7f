// Takes checkpoints to one place, on a thread of its own: a place that is slow, or that hangs for
// ever as a dead network share does, keeps neither the other places nor the next checkpoint
// waiting.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "audit/checkpoint_place.h"
#include "base/clock.h"

namespace deepmoat::audit {

struct PlaceHealth {
  std::string place;
  std::uint64_t size = 0;  // of the newest checkpoint that it has taken
  std::string error;       // of the last attempt; empty: it took it
};

// Thread-safe.
class PlaceKeeper {
 public:
  // `clock` must outlive it.
  PlaceKeeper(std::unique_ptr<CheckpointPlace> place, const Clock& clock);
  ~PlaceKeeper();  // waits for the place, however long that takes
  PlaceKeeper(const PlaceKeeper&) = delete;
  PlaceKeeper& operator=(const PlaceKeeper&) = delete;

  // The newest checkpoint. One that is overtaken before the place was ready for it is left out.
  void offer(const std::string& note, std::uint64_t size);
  // What was offered last is its last. finished(): true once the place has been asked for it, false
  // when that takes longer than `patience`.
  void finish();
  [[nodiscard]] bool finished(std::chrono::milliseconds patience);

  [[nodiscard]] PlaceHealth health() const;
  // It has taken a checkpoint from us, and a later start has to find one there.
  [[nodiscard]] bool has_one_to_find() const;
  // A line to the log when what health() says is another thing than the last time.
  void report();

 private:
  void run();
  void ask(std::unique_lock<std::mutex>& lock, bool last);

  const std::unique_ptr<CheckpointPlace> place_;  // the thread's own
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string note_;
  std::uint64_t offered_ = 0;  // size of `note_`
  PlaceHealth health_;
  MonoNanos asked_ns_ = 0;  // since when the place is being asked; 0: it is not
  std::string reported_;    // health's error
  bool stopping_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace deepmoat::audit
