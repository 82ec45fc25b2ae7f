// Segment files: their names, how they are listed, read, and made ready for writing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "audit/disk.h"
#include "audit/format.h"
#include "base/result.h"

namespace deepmoat::audit {

// "audit-000000000001.seg"
[[nodiscard]] std::string segment_name(std::uint64_t number);
// "audit-000000000001.kept": the same segment, once bodies in it were deleted.
[[nodiscard]] std::string kept_name(std::uint64_t number);

// The segments of a folder, which are numbered 1..result without a gap. Code::corrupt names the
// missing one, or a file whose name only looks like a segment's; Code::io or not_found otherwise.
[[nodiscard]] Result<std::uint64_t> count_segments(const std::filesystem::path& directory,
                                                   Disk& disk = system_disk());

// One segment, open for reading. Reads copy, so a running server may write meanwhile.
// One thread at a time.
class SegmentFile {
 public:
  // The `.kept` file of this number if there is one, else the `.seg`.
  static Result<SegmentFile> open(const std::filesystem::path& directory, std::uint64_t number,
                                  Disk& disk = system_disk());

  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] std::uint64_t bytes() const { return reader_->bytes(); }
  [[nodiscard]] bool kept() const { return kept_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string name() const { return path_.filename().string(); }

  // The whole file, in the place of what `buffer` held.
  [[nodiscard]] Result<> load(std::string& buffer) const;
  // At most `bytes_max` bytes from `offset`.
  [[nodiscard]] Result<std::string> read(std::uint64_t offset, std::size_t bytes_max) const;

 private:
  std::filesystem::path path_;
  std::unique_ptr<DiskReader> reader_;
  std::uint64_t number_ = 0;
  bool kept_ = false;
};

// Parses the header in `bytes` and checks it against the file and, where that is known, against
// where the segment before it ended (the first segment begins the chain). Returns nullptr and
// fills `header`, or says what is wrong.
[[nodiscard]] const char* check_segment_header(const SegmentFile& file, std::string_view bytes,
                                               const ChainState* before, SegmentHeader& header);

// Makes segment `number`: zeros to its full length, durable, and so is its entry in the folder.
// Takes as long as writing `segment_bytes` takes. `begin`: bytes that the file starts with.
[[nodiscard]] Result<> prepare_segment(const std::filesystem::path& directory, std::uint64_t number,
                                       std::uint64_t segment_bytes, Disk& disk = system_disk(),
                                       std::string_view begin = {});

// Deletes what an interrupted prepare_segment() or retention left.
[[nodiscard]] Result<> remove_unfinished_segments(const std::filesystem::path& directory,
                                                  Disk& disk = system_disk());

}  // namespace deepmoat::audit
