#include "audit/place_keeper.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace deepmoat::audit {

namespace {

constexpr auto kAgain = std::chrono::seconds(1);
constexpr MonoNanos kPatienceNs = 10'000'000'000;

}  // namespace

PlaceKeeper::PlaceKeeper(std::unique_ptr<CheckpointPlace> place, const Clock& clock)
    : place_(std::move(place)), clock_(clock) {
  health_.place = place_->name();
  thread_ = std::thread([this] { run(); });
}

PlaceKeeper::~PlaceKeeper() {
  finish();
  thread_.join();
}

void PlaceKeeper::offer(const std::string& note, std::uint64_t size) {
  {
    const std::lock_guard lock(mutex_);
    note_ = note;
    offered_ = size;
  }
  changed_.notify_all();
}

void PlaceKeeper::finish() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
}

bool PlaceKeeper::finished(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, [this] { return ended_; });
}

PlaceHealth PlaceKeeper::health() const {
  const std::lock_guard lock(mutex_);
  PlaceHealth health = health_;
  if (asked_ns_ != 0 && clock_.mono_ns() - asked_ns_ > kPatienceNs) {
    health.error = "it does not answer";
  }
  return health;
}

bool PlaceKeeper::has_one_to_find() const {
  const std::lock_guard lock(mutex_);
  return place_->reads_back() && health_.size > 0;
}

void PlaceKeeper::report() {
  const PlaceHealth now = health();
  {
    const std::lock_guard lock(mutex_);
    if (reported_ == now.error) {
      return;
    }
    reported_ = now.error;
  }
  if (now.error.empty()) {
    log::info("audit log: a second place takes checkpoints again", {{"place", now.place}});
  } else {
    log::error("audit log: a second place does not take the checkpoint",
               {{"place", now.place}, {"error", now.error}});
  }
}

void PlaceKeeper::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const bool last = stopping_;
    const std::uint64_t size = offered_;
    if (size > health_.size) {
      ask(lock, last);
    }
    if (last && offered_ == size) {
      ended_ = true;
      changed_.notify_all();
      return;
    }
    changed_.wait_for(lock, kAgain, [&] { return (stopping_ && !last) || offered_ > size; });
  }
}

// The lock is let go of meanwhile.
void PlaceKeeper::ask(std::unique_lock<std::mutex>& lock, bool last) {
  const std::string note = note_;
  const std::uint64_t size = offered_;
  asked_ns_ = std::max<MonoNanos>(clock_.mono_ns(), 1);
  lock.unlock();
  const Result<bool> kept = place_->keep(note, last);
  lock.lock();
  asked_ns_ = 0;
  if (!kept) {
    health_.error = kept.error().message;
  } else if (*kept) {
    health_.error.clear();  // one that is not to be asked yet has not got well
    health_.size = size;
  }
}

}  // namespace deepmoat::audit
