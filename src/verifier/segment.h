// The bytes of segments and of what retention left of them (docs/formats/audit.md): headers,
// frames, stubs, and what may stand behind the last good frame. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "verifier/hash.h"

namespace deepmoat::verifier {

inline constexpr std::size_t kHeaderBytes = 128;
inline constexpr std::size_t kFrameHeadBytes = 64;
inline constexpr std::size_t kHashBytes = 32;
inline constexpr std::size_t kBodyBytesMax = 4096;
inline constexpr std::size_t kFrameBytesMin = kFrameHeadBytes + kHashBytes;
inline constexpr std::size_t kFrameBytesMax = kFrameBytesMin + kBodyBytesMax;
inline constexpr std::size_t kStubBytes = 128;
inline constexpr std::size_t kKeptEndBytes = 48;
inline constexpr std::uint64_t kPageBytes = 4096;
inline constexpr std::uint64_t kSegmentBytesMin = 2 * kPageBytes;
inline constexpr std::uint64_t kSegmentBytesMax = 1024ULL * 1024 * 1024;

struct Header {
  std::uint64_t number = 0;
  std::uint64_t segment_bytes = 0;
  std::uint64_t first_sequence = 0;
  Digest previous_hash{};
  Digest hash{};
};

// What the parsers say of bytes that are whole and that a newer program wrote; compare the
// pointers.
inline constexpr const char* kNewerHeader =
    "a format version or hash algorithm that this program does not know: was it written by a newer "
    "one?";
inline constexpr const char* kNewerFrame =
    "a kind or version of frame that this program does not know: was it written by a newer one?";

// Returns nullptr and fills `header`, or says what is wrong.
[[nodiscard]] const char* parse_header(std::string_view bytes, Header& header);

struct Frame {
  std::uint64_t sequence = 0;
  std::int64_t unix_ms = 0;
  std::uint32_t commit_index = 0;
  std::uint16_t version = 0;
  Digest previous_hash{};
  Digest hash{};
  std::uint64_t offset = 0;
  std::string_view leaf_data;  // all but the final hash; points into the segment

  [[nodiscard]] std::string_view body() const { return leaf_data.substr(kFrameHeadBytes); }
  [[nodiscard]] std::size_t bytes() const { return leaf_data.size() + kHashBytes; }
};

// Reads the frame at `offset`: its shape and its hash, not its place in the chain. Returns nullptr
// and fills `frame`, or says what is wrong.
[[nodiscard]] const char* parse_frame(std::string_view segment, std::uint64_t offset, Frame& frame);

// Reads what leaf data says of itself, for which there is no hash beside it: in a receipt or an
// export. `frame.hash` and `frame.offset` stay as they were.
[[nodiscard]] const char* parse_leaf_data(std::string_view leaf_data, Frame& frame);

// Where a chain has come to: what the next record must carry.
struct Chain {
  std::uint64_t next_sequence = 1;
  Digest last_hash{};
};

enum class TailEnd : std::uint8_t {
  clean,     // zeros, or no room, up to the end of the segment
  torn,      // what an interrupted last commit leaves: a bad frame, nothing committed after it
  tampered,  // anything else
};

struct Tail {
  TailEnd end = TailEnd::clean;
  std::uint64_t offset = 0;         // where the next frame would begin, or the bad one does
  std::uint64_t whole_records = 0;  // torn: whole frames of the interrupted commit behind it
  std::string why;                  // torn, tampered
};

// Judges the bytes from `offset` on, where the frame `next_sequence` is missing or bad, by the
// rules of "Reading". `why` is what a parser said of `offset`, or empty.
[[nodiscard]] Tail judge_tail(std::string_view segment, std::uint64_t offset,
                              std::uint64_t next_sequence, const char* why);

// Reads the frame at `offset` that must be the next one of `chain`. Returns true and fills `frame`,
// or false and fills `tail`. Does not move `chain`.
[[nodiscard]] bool next_frame(std::string_view segment, std::uint64_t offset, const Chain& chain,
                              Frame& frame, Tail& tail);

struct Stub {
  std::uint64_t sequence = 0;
  std::int64_t unix_ms = 0;
  Digest leaf_hash{};
  Digest sm3_leaf_hash{};  // zeros: none
  Digest frame_hash{};
};

enum class KeptPart : std::uint8_t { frame, stub, end, none };

// What begins at `offset` of a `.kept` file, by its magic.
[[nodiscard]] KeptPart kept_part_at(std::string_view file, std::uint64_t offset);

// Returns nullptr and fills `stub`, or says what is wrong.
[[nodiscard]] const char* parse_stub(std::string_view file, std::uint64_t offset, Stub& stub);

// Checks the last 48 bytes, which must begin at `offset`, against the file and the number of its
// records. Returns nullptr or says what is wrong.
[[nodiscard]] const char* check_kept_end(std::string_view file, std::uint64_t offset,
                                         std::uint64_t records);

}  // namespace deepmoat::verifier
