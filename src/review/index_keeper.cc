#include "review/index_keeper.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"

namespace deepmoat::review {

namespace {

constexpr std::chrono::milliseconds kLook{500};

bool holds(const IndexState& state, std::uint64_t sequence) {
  return state.complete && state.last_sequence >= sequence;
}

}  // namespace

IndexKeeper::IndexKeeper(std::filesystem::path log_folder, std::filesystem::path index_path,
                         std::function<std::uint64_t()> log_size)
    : log_folder_(std::move(log_folder)),
      index_path_(std::move(index_path)),
      log_size_(std::move(log_size)),
      thread_([this] { run(); }) {}

IndexKeeper::~IndexKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  moved_.notify_all();
  thread_.join();
}

Result<IndexState> IndexKeeper::catch_up() {
  if (!index_) {
    TRY(index_, AuditIndex::open(index_path_));
  }
  TRY([[maybe_unused]] const std::uint64_t added, index_->catch_up(log_folder_, &stopping_));
  return index_->state();
}

void IndexKeeper::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    now_ = false;
    if (!holds(state_.index, log_size_()) || !state_.error.empty()) {
      lock.unlock();
      auto reached = catch_up();
      if (!reached) {
        index_.reset();
      }
      lock.lock();
      if (!reached && state_.error.empty()) {
        log::error("the audit index does not follow the log",
                   {{"file", index_path_.string()}, {"error", reached.error().message}});
      }
      state_.error = reached ? "" : reached.error().message;
      state_.index = reached ? *reached : state_.index;
      moved_.notify_all();
    }
    wanted_.wait_for(lock, kLook, [this] { return now_ || stopping_; });
  }
}

Result<> IndexKeeper::wait_for(std::uint64_t sequence, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  moved_.wait_for(lock, patience, [&] {
    const bool there = holds(state_.index, sequence);
    if (!there && state_.error.empty()) {  // after an error it looks again in its own time
      now_ = true;
      wanted_.notify_one();
    }
    return there || stopping_;
  });
  if (!holds(state_.index, sequence)) {
    return fail(Code::unavailable,
                fmt::format("the audit index has come to record {} of {}; try again",
                            state_.index.last_sequence, sequence));
  }
  return {};
}

KeeperState IndexKeeper::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<std::unique_ptr<AuditIndex>> IndexKeeper::open_reader() const {
  TRY(std::unique_ptr<AuditIndex> index, AuditIndex::open(index_path_));
  CHECK_OK(require_complete(*index));
  return index;
}

}  // namespace deepmoat::review
