// Reads the newest records, beside a running server if there is one: reads only, takes no lock,
// and a half-written end of the log is just its end.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "audit/format.h"
#include "audit/record_json.h"
#include "audit/segment.h"
#include "base/result.h"

namespace deepmoat::audit {

using OnEntry = std::function<void(const Entry&)>;

// A place in the log that moves forward. One thread at a time.
class TailReader {
 public:
  // Stands before the first record.
  explicit TailReader(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // The newest `count` records in their order; moves behind them. Each is checked against its
  // hash and its neighbours, not against all before it. Code::not_found without the folder,
  // Code::corrupt, Code::io.
  [[nodiscard]] Result<std::vector<Entry>> read_last(std::size_t count);

  // Hands every record from here to the present end to `on_entry`; says how many.
  [[nodiscard]] Result<std::uint64_t> poll(const OnEntry& on_entry);

 private:
  struct Found;
  Result<std::vector<Entry>> read_segment_end(std::uint64_t number, std::size_t count, bool live);
  Result<bool> enter_segment();
  Result<std::uint64_t> read_window(const OnEntry& on_entry);
  Result<bool> next_segment_continues();

  std::filesystem::path directory_;
  std::uint64_t segment_ = 1;
  std::uint64_t offset_ = 0;  // 0: the segment's header has not been read
  ChainState chain_;
  std::optional<SegmentFile> file_;
  RecordDecoder decoder_;
};

// Polls every 100 ms until `stop` is set (a signal handler may do that).
[[nodiscard]] Result<> follow(TailReader& reader, const std::atomic<bool>& stop,
                              const OnEntry& on_entry);

}  // namespace deepmoat::audit
