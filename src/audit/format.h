// The bytes of the audit log on disk (docs/formats/audit.md): segment headers and frames, written
// and read. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/limits.h"
#include "crypto/digest.h"

namespace deepmoat::audit {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 128;
inline constexpr std::size_t kFrameHeaderBytes = 64;
inline constexpr std::size_t kHashBytes = 32;
inline constexpr std::size_t kFrameBytesMin = kFrameHeaderBytes + kHashBytes;
inline constexpr std::size_t kFrameBytesMax = kFrameBytesMin + limits::kAuditRecordBytesMax;
// A segment is a whole number of pages, so that padding and frames share no page with anything.
inline constexpr std::uint64_t kSegmentPageBytes = 4096;
inline constexpr std::uint64_t kSegmentBytesMin = 2 * kSegmentPageBytes;
inline constexpr std::uint64_t kSegmentBytesMax = 1024ULL * 1024 * 1024;

enum class FrameKind : std::uint16_t { record = 1 };
inline constexpr std::uint16_t kRecordVersion = 2;  // 1 is read, too: some fields did not exist

struct SegmentHeader {
  std::uint64_t number = 0;          // 1 for the first segment
  std::uint64_t segment_bytes = 0;   // size of the file
  std::uint64_t first_sequence = 0;  // of the first record in it
  UnixMillis created_unix_ms = 0;
  crypto::Digest previous_hash{};  // of the last frame before this segment; zeros in the first
  crypto::Digest hash{};           // of this header; what its first frame chains to
};

// Encodes the header and fills in `header.hash`.
[[nodiscard]] std::string encode_segment_header(SegmentHeader& header);

// What the parsers below say of bytes that are whole and that a newer program wrote; compare the
// pointers.
inline constexpr const char* kNewerHeader =
    "a format version or hash algorithm that this program does not know: was it written by a newer "
    "one?";
inline constexpr const char* kNewerFrame =
    "a kind or version of frame that this program does not know: was it written by a newer one?";

// Returns nullptr and fills `header`, or says what is wrong.
[[nodiscard]] const char* parse_segment_header(std::string_view bytes, SegmentHeader& header);

struct Frame {
  std::uint64_t sequence = 0;
  UnixMillis unix_ms = 0;
  std::uint32_t batch_index = 0;  // 0 for the first record of a commit
  crypto::Digest previous_hash{};
  std::string_view body;
  std::string_view leaf_data;  // all of the frame but its hash: what the Merkle tree holds
  crypto::Digest hash{};
  std::uint64_t offset = 0;  // of its first byte in the segment
  std::size_t bytes = 0;     // the whole frame
};

// Appends a frame to `out` and returns its hash.
crypto::Digest append_frame(std::string& out, std::uint64_t sequence, UnixMillis unix_ms,
                            std::uint32_t batch_index, const crypto::Digest& previous_hash,
                            std::string_view body);

// Reads the frame at `offset`: its shape and its hash, not its place in the chain. Returns nullptr
// and fills `frame` (whose body points into `segment`), or says what is wrong.
[[nodiscard]] const char* parse_frame(std::string_view segment, std::uint64_t offset, Frame& frame);

// Where a chain has come to: what the next record must carry.
struct ChainState {
  std::uint64_t next_sequence = 1;
  crypto::Digest last_hash{};

  bool operator==(const ChainState&) const = default;
};

// What is left of a record whose body a policy let expire (docs/formats/audit.md, "Deleted
// bodies").
struct Stub {
  std::uint64_t body_bytes = 0;
  std::uint64_t sequence = 0;
  UnixMillis unix_ms = 0;
  crypto::Digest leaf{};  // SHA-256
  crypto::Digest sm3_leaf{};
  crypto::Digest hash{};  // of the frame
};

inline constexpr std::size_t kStubBytes = 128;

void append_stub(std::string& out, const Stub& stub);

// One entry of a `.kept` file: a whole frame or a stub.
struct KeptEntry {
  bool is_stub = false;
  Frame frame;
  Stub stub;

  [[nodiscard]] std::uint64_t sequence() const { return is_stub ? stub.sequence : frame.sequence; }
  [[nodiscard]] const crypto::Digest& hash() const { return is_stub ? stub.hash : frame.hash; }
  [[nodiscard]] std::size_t bytes() const { return is_stub ? kStubBytes : frame.bytes; }
  // Whether it goes on where the chain has come to. A stub does not say what it chains to.
  [[nodiscard]] bool continues(const ChainState& chain) const {
    return sequence() == chain.next_sequence && (is_stub || frame.previous_hash == chain.last_hash);
  }
};

// As parse_frame(), of either.
[[nodiscard]] const char* parse_entry(std::string_view bytes, std::uint64_t offset,
                                      KeptEntry& entry);

// Ends a `.kept` file: `bytes` holds the header and all entries.
void append_kept_end(std::string& bytes, std::uint64_t records);

// Walks a `.kept` file whose header the caller has checked, and moves `chain` along. Returns
// nullptr or what is wrong; then `chain` says with which record.
[[nodiscard]] const char* scan_kept(std::string_view bytes, ChainState& chain,
                                    const std::function<void(const KeptEntry&)>& visit);

[[nodiscard]] bool all_zero(std::string_view bytes);

enum class ScanEnd : std::uint8_t {
  clean,    // zeros, or no room, up to the end of the segment
  torn,     // what an interrupted last commit leaves: a bad frame, nothing committed after it
  corrupt,  // anything else
};

struct Scan {
  ScanEnd end = ScanEnd::clean;
  std::uint64_t offset = 0;             // where the next frame would begin, or the bad one does
  std::uint64_t last_batch_offset = 0;  // where the last commit's first frame begins
  std::string why;                      // torn, corrupt
};

using FrameVisitor = std::function<void(const Frame&)>;

// Walks the frames of `segment` from `offset` and moves `chain` along. Stops at the first frame
// that is not the chain's next one and judges what follows it (docs/formats/audit.md, "Reading").
[[nodiscard]] Scan scan_frames(std::string_view segment, std::uint64_t offset, ChainState& chain,
                               const FrameVisitor& visit);

// Judges the bytes from `offset` on, where the frame `next_sequence` is missing or bad: fills
// end and why.
void judge_tail(std::string_view segment, std::uint64_t offset, std::uint64_t next_sequence,
                const char* why, Scan& scan);

}  // namespace deepmoat::audit
