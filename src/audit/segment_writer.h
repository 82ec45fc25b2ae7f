// Writes commits into segments: numbers records, chains them, writes and syncs. No thread, no lock
// and no clock of its own, so that tests can run it over a disk that loses power.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "audit/disk.h"
#include "audit/format.h"
#include "audit/recovery.h"
#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::audit {

struct NewRecord {
  std::string_view body;
  UnixMillis unix_ms = 0;
};

// One thread at a time.
class SegmentWriter {
 public:
  // Goes on at `position`, whose segment's file exists.
  static Result<SegmentWriter> open(const std::filesystem::path& directory,
                                    const WritePosition& position, Disk& disk = system_disk());

  // Whether the current segment takes a body of this length.
  [[nodiscard]] bool fits(std::size_t body_bytes) const;

  // Makes as many of `records` durable as one write in the current segment takes, and says how
  // many: at least one. `on_leaf` gets the leaf data of each, in order. After an error nobody knows
  // what is on the disk, and nothing may be written any more.
  // REQUIRES: fits() the first.
  Result<std::size_t> commit(std::span<const NewRecord> records, UnixMillis now_ms,
                             const std::function<void(std::string_view leaf_data)>& on_leaf);

  // Goes on in the next segment, whose file exists; stays in this one when that fails.
  Result<> enter_next();

  [[nodiscard]] std::uint64_t segment() const { return number_; }
  [[nodiscard]] bool blank() const { return offset_ == 0; }
  [[nodiscard]] const ChainState& chain() const { return chain_; }

 private:
  SegmentWriter(std::filesystem::path directory, Disk& disk, const WritePosition& position)
      : directory_(std::move(directory)),
        disk_(&disk),
        number_(position.segment),
        offset_(position.offset),
        chain_(position.chain) {}
  Result<> open_segment(std::uint64_t number);
  [[nodiscard]] std::uint64_t room() const;

  std::filesystem::path directory_;
  Disk* disk_;
  std::unique_ptr<DiskFile> file_;
  std::uint64_t bytes_ = 0;  // of the segment
  std::uint64_t number_;
  std::uint64_t offset_;  // 0: the header is still to be written
  ChainState chain_;
  std::string buffer_;
};

}  // namespace deepmoat::audit
