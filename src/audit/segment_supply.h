// Makes segments ahead of their use, on a thread of its own, and keeps a spare file for the day on
// which the disk is full: it then becomes the last segment, for administrators and for the results
// of calls that are running.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include "audit/disk.h"
#include "base/result.h"

namespace deepmoat::audit {

// Thread-safe.
class SegmentSupply {
 public:
  // Segments 1..ready_up_to exist. `retry`: after that time a file that could not be made is tried
  // again.
  SegmentSupply(std::filesystem::path directory, std::uint64_t segment_bytes,
                std::uint64_t ready_up_to, std::chrono::milliseconds retry, Disk& disk);
  ~SegmentSupply();
  SegmentSupply(const SegmentSupply&) = delete;
  SegmentSupply& operator=(const SegmentSupply&) = delete;

  // Asks for segment `number` to be made; returns at once.
  void want(std::uint64_t number);

  // Blocks until segment `number` is there. Asks once more when making it failed before: the
  // failed file is gone, so this repeats no sync, and the disk may have room again.
  Result<> wait_for(std::uint64_t number);

  // The spare is used up and no space came back: `number` is the last segment that there is.
  [[nodiscard]] bool is_last(std::uint64_t number) const;

 private:
  void run();
  Result<> make_next(std::uint64_t number);
  Result<> make_reserve();

  const std::filesystem::path directory_;
  const std::uint64_t segment_bytes_;
  const std::chrono::milliseconds retry_;
  Disk& disk_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<std::uint64_t> ready_;  // segments 1..ready_ exist
  std::atomic<bool> scarce_ = false;  // the disk is full and the spare is used up
  std::uint64_t wanted_;
  bool reserve_ready_ = false;
  std::optional<Error> error_;  // of the last attempt; none while one is due
  bool failing_ = false;        // and that was said
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace deepmoat::audit
