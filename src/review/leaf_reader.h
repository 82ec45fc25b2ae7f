// Reads the bytes of single records out of the log, which the index says where to find.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "audit/segment.h"
#include "base/result.h"

namespace deepmoat::review {

// Remembers the segment that it read last. One thread at a time.
class LeafReader {
 public:
  explicit LeafReader(std::filesystem::path log_folder) : folder_(std::move(log_folder)) {}

  // The leaf data of one record: its frame without the final hash, which has been checked.
  // `frame_offset` is where its frame was when it was indexed; where another record is there now,
  // the whole segment is searched, for which its bytes are needed in memory. Code::not_found when
  // its text was deleted by retention; Code::corrupt, Code::io.
  [[nodiscard]] Result<std::string> read(std::uint64_t sequence, std::uint64_t segment,
                                         std::uint64_t frame_offset);

 private:
  Result<std::optional<std::string>> read_at(std::uint64_t sequence, std::uint64_t offset) const;
  Result<> search_segment();

  std::filesystem::path folder_;
  std::optional<audit::SegmentFile> file_;
  // Of `file_`, once it was searched: where the whole frames are.
  std::optional<std::unordered_map<std::uint64_t, std::uint64_t>> offsets_;
};

// The body in it: canonical JSON. REQUIRES: read() gave `leaf`.
[[nodiscard]] std::string_view body_of_leaf(std::string_view leaf);

}  // namespace deepmoat::review
