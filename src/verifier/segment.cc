// Pure functions, any thread.
#include "verifier/segment.h"

#include <cstring>

#include "verifier/bytes.h"

namespace deepmoat::verifier {

namespace {

constexpr std::string_view kSegmentMagic{
    "\xd7"
    "DMAUD\r\n",
    8};
// No body holds their first byte, so no record can pose as one of them.
constexpr std::string_view kFrameMagic{
    "\xd7"
    "DMR",
    4};
constexpr std::string_view kStubMagic{
    "\xd7"
    "DMS",
    4};
constexpr std::string_view kKeptEndMagic{
    "\xd7"
    "DME",
    4};

bool equal(const Digest& digest, const char* bytes) {
  return std::memcmp(digest.data(), bytes, kHashBytes) == 0;
}

Digest digest_at(const char* bytes) {
  Digest digest;
  std::memcpy(digest.data(), bytes, kHashBytes);
  return digest;
}

void read_frame_head(std::string_view leaf_data, Frame& frame) {
  const char* in = leaf_data.data();
  frame.sequence = little_endian<std::uint64_t>(in + 8);
  frame.unix_ms = little_endian<std::int64_t>(in + 16);
  frame.commit_index = little_endian<std::uint32_t>(in + 24);
  frame.version = little_endian<std::uint16_t>(in + 30);
  frame.previous_hash = digest_at(in + 32);
  frame.leaf_data = leaf_data;
}

bool known_kind(const char* frame) {
  const auto version = little_endian<std::uint16_t>(frame + 30);
  return little_endian<std::uint16_t>(frame + 28) == 1 && (version == 1 || version == 2);
}

std::string misplaced(std::uint64_t found, std::uint64_t wanted) {
  return "record " + std::to_string(found) + " stands where record " + std::to_string(wanted) +
         " belongs";
}

}  // namespace

const char* parse_header(std::string_view bytes, Header& header) {
  if (bytes.size() < kHeaderBytes) {
    return "the file is shorter than a segment header";
  }
  const char* in = bytes.data();
  if (bytes.substr(0, kSegmentMagic.size()) != kSegmentMagic) {
    return "no segment header";
  }
  const Digest hash = sha256(bytes.substr(0, 96));
  if (!equal(hash, in + 96)) {
    return "the segment header's hash does not match";
  }
  if (little_endian<std::uint32_t>(in + 8) != 1 ||
      little_endian<std::uint32_t>(in + 12) != kHeaderBytes ||
      little_endian<std::uint32_t>(in + 48) != 1) {
    return kNewerHeader;
  }
  if (!all_zero(bytes.substr(52, 12))) {
    return "reserved bytes of the segment header are set";
  }
  header.number = little_endian<std::uint64_t>(in + 16);
  header.segment_bytes = little_endian<std::uint64_t>(in + 24);
  header.first_sequence = little_endian<std::uint64_t>(in + 32);
  header.previous_hash = digest_at(in + 64);
  header.hash = hash;
  return nullptr;
}

const char* parse_frame(std::string_view segment, std::uint64_t offset, Frame& frame) {
  if (offset > segment.size() || segment.size() - offset < kFrameBytesMin) {
    return "the segment ends inside the frame";
  }
  const std::string_view rest = segment.substr(offset);
  if (!rest.starts_with(kFrameMagic)) {
    return "no frame begins here";
  }
  const std::size_t body_bytes = little_endian<std::uint32_t>(rest.data() + 4);
  if (body_bytes > kBodyBytesMax || body_bytes > rest.size() - kFrameBytesMin) {
    return "the frame's length is impossible";
  }
  const std::string_view leaf_data = rest.substr(0, kFrameHeadBytes + body_bytes);
  const Digest hash = sha256(leaf_data);
  if (!equal(hash, rest.data() + leaf_data.size())) {
    return "the frame's hash does not match its bytes";
  }
  if (!known_kind(rest.data())) {
    return kNewerFrame;
  }
  read_frame_head(leaf_data, frame);
  frame.hash = hash;
  frame.offset = offset;
  return nullptr;
}

const char* parse_leaf_data(std::string_view leaf_data, Frame& frame) {
  if (leaf_data.size() < kFrameHeadBytes || !leaf_data.starts_with(kFrameMagic) ||
      little_endian<std::uint32_t>(leaf_data.data() + 4) != leaf_data.size() - kFrameHeadBytes ||
      leaf_data.size() - kFrameHeadBytes > kBodyBytesMax) {
    return "the leaf data is no record";
  }
  if (!known_kind(leaf_data.data())) {
    return kNewerFrame;
  }
  read_frame_head(leaf_data, frame);
  return nullptr;
}

Tail judge_tail(std::string_view segment, std::uint64_t offset, std::uint64_t next_sequence,
                const char* why) {
  Tail tail;
  tail.offset = offset;
  if (offset >= segment.size() || all_zero(segment.substr(offset))) {
    return tail;
  }
  tail.why = why;
  // It is whole, as its hash fits: no crash left it.
  if (why == kNewerFrame || why == kNewerHeader) {
    tail.end = TailEnd::tampered;
    return tail;
  }
  tail.end = TailEnd::torn;
  for (std::size_t at = segment.find(kFrameMagic, offset); at != std::string_view::npos;
       at = segment.find(kFrameMagic, at + 1)) {
    Frame frame;
    if (const char* unread = parse_frame(segment, at, frame); unread != nullptr) {
      if (unread == kNewerFrame) {
        tail.end = TailEnd::tampered;
        tail.why = unread;
        return tail;
      }
      continue;
    }
    // Pages of one write may reach the disk in any order, so whole frames of the interrupted
    // commit may stand behind a hole. A later commit is only written once this one is durable.
    const bool same_commit = at != offset && frame.sequence > next_sequence &&
                             frame.sequence - next_sequence <= frame.commit_index;
    if (!same_commit) {
      tail.end = TailEnd::tampered;
      tail.why = at == offset ? misplaced(frame.sequence, next_sequence)
                              : std::string(why) + ", yet the valid record " +
                                    std::to_string(frame.sequence) + " follows at offset " +
                                    std::to_string(at);
      return tail;
    }
    ++tail.whole_records;
  }
  return tail;
}

bool next_frame(std::string_view segment, std::uint64_t offset, const Chain& chain, Frame& frame,
                Tail& tail) {
  const char* why = parse_frame(segment, offset, frame);
  if (why == nullptr && frame.sequence == chain.next_sequence) {
    if (frame.previous_hash == chain.last_hash) {
      return true;
    }
    tail = {.end = TailEnd::tampered,
            .offset = offset,
            .why = "the record does not chain to the one before it"};
    return false;
  }
  tail = judge_tail(segment, offset, chain.next_sequence, why == nullptr ? "" : why);
  return false;
}

KeptPart kept_part_at(std::string_view file, std::uint64_t offset) {
  const std::string_view magic = offset < file.size() ? file.substr(offset, 4) : std::string_view();
  return magic == kFrameMagic     ? KeptPart::frame
         : magic == kStubMagic    ? KeptPart::stub
         : magic == kKeptEndMagic ? KeptPart::end
                                  : KeptPart::none;
}

const char* parse_stub(std::string_view file, std::uint64_t offset, Stub& stub) {
  if (file.size() - offset < kStubBytes) {
    return "the file ends inside the stub";
  }
  const char* in = file.data() + offset;
  if (little_endian<std::uint32_t>(in + 4) > kBodyBytesMax) {
    return "the stub's length is impossible";
  }
  if (!all_zero({in + 24, 8})) {
    return "reserved bytes of the stub are set";
  }
  stub.sequence = little_endian<std::uint64_t>(in + 8);
  stub.unix_ms = little_endian<std::int64_t>(in + 16);
  stub.leaf_hash = digest_at(in + 32);
  stub.sm3_leaf_hash = digest_at(in + 64);
  stub.frame_hash = digest_at(in + 96);
  return nullptr;
}

const char* check_kept_end(std::string_view file, std::uint64_t offset, std::uint64_t records) {
  if (file.size() - offset != kKeptEndBytes) {
    return "the end mark is not at the end of the file";
  }
  const char* in = file.data() + offset;
  if (!all_zero({in + 4, 4})) {
    return "reserved bytes of the end mark are set";
  }
  if (little_endian<std::uint64_t>(in + 8) != records) {
    return "the end mark names another number of records";
  }
  if (!equal(sha256(file.substr(0, file.size() - kHashBytes)), in + 16)) {
    return "the file's hash does not match its bytes";
  }
  return nullptr;
}

}  // namespace deepmoat::verifier
