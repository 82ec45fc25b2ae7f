// What opening a log finds on disk, and the repair of what a crash left. Needs the log's lock.
#pragma once

#include <cstdint>
#include <filesystem>

#include "audit/disk.h"
#include "audit/format.h"
#include "base/result.h"

namespace deepmoat::audit {

// Where writing goes on.
struct WritePosition {
  ChainState chain;
  std::uint64_t segment = 1;   // its file exists
  std::uint64_t offset = 0;    // 0: the segment is blank and still needs its header
  std::uint64_t segments = 0;  // files that exist; one more than `segment` when a spare is there
};

// Reads the headers of all segments and verifies the last two with records fully; the others are
// `deepmoat audit verify`'s work, so that opening does not grow slower with the log. Cuts off a
// torn tail (zeros over it, fdatasync, log::warn) and makes the last commit durable once more,
// for nobody knows whether its fdatasync was done. An empty folder gives segments = 0.
// Where the file kTailUnknown is there, a write or a sync failed: what the system then shows of
// that file need not be what is on the disk, and a later sync of it may succeed without having
// written anything. So the last segment is taken into a new file, and the old one is not used
// again. Code::corrupt names file, sequence and offset; Code::io.
[[nodiscard]] Result<WritePosition> recover(const std::filesystem::path& directory,
                                            Disk& disk = system_disk());

// Leaves the mark for the next recover(). Best effort: a disk that takes no file takes no log
// either.
void mark_tail_unknown(const std::filesystem::path& directory, Disk& disk = system_disk());

inline constexpr const char* kTailUnknown = "tail-unknown";

}  // namespace deepmoat::audit
