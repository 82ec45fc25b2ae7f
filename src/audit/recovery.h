// What opening a log finds on disk, and the repair of what a crash left. Needs the log's lock.
#pragma once

#include <cstdint>
#include <filesystem>

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
// Code::corrupt names file, sequence and offset; Code::io.
[[nodiscard]] Result<WritePosition> recover(const std::filesystem::path& directory);

}  // namespace deepmoat::audit
