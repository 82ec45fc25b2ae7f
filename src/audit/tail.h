// Reads the newest records, beside a running server if there is one: reads only, takes no lock,
// and a half-written end of the log is just its end.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "audit/format.h"
#include "audit/record_json.h"
#include "audit/segment.h"
#include "base/result.h"

namespace deepmoat::audit {

using OnEntry = std::function<void(const Entry&)>;

// Which records are wanted, for a reader that looks for few among many.
struct TailSearch {
  std::string_view containing;  // only records in whose bytes this text stands are decoded
  std::uint64_t last_sequence = std::numeric_limits<std::uint64_t>::max();  // reading ends there
  const std::atomic<bool>* stop = nullptr;  // and soon after this is set
};

// Where a reader stands, for one that goes on in another process.
struct TailPlace {
  std::uint64_t segment = 1;
  std::uint64_t offset = 0;       // of the next record's frame; 0: before the segment's header
  std::uint64_t last_offset = 0;  // of the frame before it in this segment; 0: none is
  ChainState chain;               // what the next record must carry

  bool operator==(const TailPlace&) const = default;
};

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

  // Moves from the first record to the first segment that can hold records of `since_ms` or later.
  // What lies before is neither read nor checked. Code::not_found, Code::io.
  [[nodiscard]] Result<> skip_to(UnixMillis since_ms);
  // As poll(): the hash and the place of every record are checked, few are decoded.
  [[nodiscard]] Result<std::uint64_t> search(const TailSearch& wanted, const OnEntry& on_entry);

  // Behind the last record that was read: what the next one must carry.
  [[nodiscard]] const ChainState& position() const { return chain_; }

  // The same with the place in the files. Within `on_entry`: where that very record stands.
  [[nodiscard]] TailPlace place() const { return {segment_, offset_, last_offset_, chain_}; }
  // Goes on from where a reader stood. False, and nothing is moved, when the log does not hold
  // there what that reader had read: it was rolled back, or is another one. Code::io, and
  // Code::corrupt for a file that is no segment.
  [[nodiscard]] Result<bool> resume(const TailPlace& place);

 private:
  struct Found;
  Result<std::vector<Entry>> read_segment_end(std::uint64_t number, std::size_t count, bool live);
  Result<bool> enter_segment();
  Result<std::uint64_t> read_on(const TailSearch& wanted, const OnEntry& on_entry);
  Result<std::uint64_t> read_window(const TailSearch& wanted, const OnEntry& on_entry);
  Result<bool> next_segment_continues();

  std::filesystem::path directory_;
  std::uint64_t segment_ = 1;
  std::uint64_t offset_ = 0;  // 0: the segment's header has not been read
  std::uint64_t last_offset_ = 0;
  ChainState chain_;
  std::optional<SegmentFile> file_;
  bool past_ = false;  // a record after TailSearch::last_sequence was met
  RecordDecoder decoder_;
};

// Polls every 100 ms until `stop` is set (a signal handler may do that).
[[nodiscard]] Result<> follow(TailReader& reader, const std::atomic<bool>& stop,
                              const OnEntry& on_entry);

}  // namespace deepmoat::audit
