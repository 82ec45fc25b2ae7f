#include "audit/segment_supply.h"

#include <algorithm>
#include <utility>

#include "audit/segment.h"
#include "base/log.h"

namespace deepmoat::audit {

namespace {

constexpr const char* kReserve = "reserve";
// Room for about ten thousand records.
constexpr std::uint64_t kReserveBytesMax = 4ULL * 1024 * 1024;

}  // namespace

SegmentSupply::SegmentSupply(std::filesystem::path directory, std::uint64_t segment_bytes,
                             std::uint64_t ready_up_to, std::chrono::milliseconds retry, Disk& disk)
    : directory_(std::move(directory)),
      segment_bytes_(segment_bytes),
      retry_(retry),
      disk_(disk),
      ready_(ready_up_to),
      wanted_(ready_up_to),
      reserve_ready_(disk.exists(directory_ / kReserve)),
      thread_([this] { run(); }) {}

SegmentSupply::~SegmentSupply() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void SegmentSupply::want(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = std::max(wanted_, number);
    error_.reset();
  }
  changed_.notify_all();
}

Result<> SegmentSupply::wait_for(std::uint64_t number) {
  want(number);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_ >= number || error_.has_value(); });
  return ready_ >= number ? Result<>{} : std::unexpected(*error_);
}

bool SegmentSupply::is_last(std::uint64_t number) const {
  return scarce_.load(std::memory_order_acquire) &&
         number >= ready_.load(std::memory_order_acquire);
}

// The next segment comes first, then the spare; both are tried again every few seconds.
void SegmentSupply::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto due = [&] {
      return stopping_ || (!error_ && (ready_ < wanted_ || !reserve_ready_));
    };
    if (!changed_.wait_for(lock, retry_, due)) {
      error_.reset();
      continue;
    }
    if (stopping_) {
      return;
    }
    const bool next = ready_ < wanted_;
    const std::uint64_t number = ready_ + 1;
    lock.unlock();
    Result<> made = next ? make_next(number) : make_reserve();
    lock.lock();
    if (!made) {
      if (!std::exchange(failing_, true)) {  // once, not every few seconds
        log::error("audit log: cannot make its next file; free space on the disk",
                   {{"segment", number}, {"error", made.error().message}});
      }
      error_ = std::move(made).error();
      // The spare takes its place, once.
      if (next && reserve_ready_) {
        reserve_ready_ = false;
        const std::filesystem::path path = directory_ / segment_name(number);
        made = disk_.rename(directory_ / kReserve, path);
        if (made) {
          made = disk_.sync_folder(directory_);
        }
      }
      scarce_.store(!reserve_ready_, std::memory_order_release);
    }
    if (made && next) {
      ready_.store(number, std::memory_order_release);
    } else if (made) {
      reserve_ready_ = true;
      failing_ = false;
      if (scarce_.exchange(false, std::memory_order_acq_rel)) {
        log::info("audit log: there is space again; calls are served", {});
      }
    }
    changed_.notify_all();
  }
}

Result<> SegmentSupply::make_next(std::uint64_t number) {
  return prepare_segment(directory_, number, segment_bytes_, disk_);
}

Result<> SegmentSupply::make_reserve() {
  const std::uint64_t bytes = std::min(segment_bytes_, kReserveBytesMax);
  const std::filesystem::path unfinished = directory_ / (std::string(kReserve) + ".new");
  TRY(const std::unique_ptr<DiskFile> file, disk_.create(unfinished, bytes));
  if (auto synced = file->sync(); !synced) {
    (void)disk_.remove(unfinished);  // gives the space back; what counts is why it failed
    return synced;
  }
  CHECK_OK(disk_.rename(unfinished, directory_ / kReserve));
  return disk_.sync_folder(directory_);
}

}  // namespace deepmoat::audit
