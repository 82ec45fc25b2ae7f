// Encoding, parsing and scanning of segments. Pure functions, any thread.
#include "audit/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace deepmoat::audit {

namespace {

constexpr std::string_view kSegmentMagic{
    "\xd7"
    "DMAUD\r\n",
    8};
// Starts with a byte that no body holds (bodies are ASCII), so no record can pose as a frame.
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
constexpr std::size_t kKeptEndBytes = 48;

template <class Int>
void put(char* out, Int value) {
  for (std::size_t i = 0; i < sizeof(Int); ++i) {
    out[i] = static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
  }
}

template <class Int>
Int get(const char* bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Int); ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return static_cast<Int>(value);
}

bool equal(const crypto::Digest& digest, const char* bytes) {
  return std::memcmp(digest.data(), bytes, kHashBytes) == 0;
}

}  // namespace

std::string encode_segment_header(SegmentHeader& header) {
  std::string bytes(kSegmentHeaderBytes, '\0');
  char* out = bytes.data();
  std::memcpy(out, kSegmentMagic.data(), kSegmentMagic.size());
  put<std::uint32_t>(out + 8, kFormatVersion);
  put<std::uint32_t>(out + 12, kSegmentHeaderBytes);
  put(out + 16, header.number);
  put(out + 24, header.segment_bytes);
  put(out + 32, header.first_sequence);
  put(out + 40, header.created_unix_ms);
  put<std::uint32_t>(out + 48, 1);  // SHA-256
  std::memcpy(out + 64, header.previous_hash.data(), kHashBytes);
  header.hash = crypto::sha256(std::string_view(out, 96));
  std::memcpy(out + 96, header.hash.data(), kHashBytes);
  return bytes;
}

const char* parse_segment_header(std::string_view bytes, SegmentHeader& header) {
  if (bytes.size() < kSegmentHeaderBytes) {
    return "the file is shorter than a segment header";
  }
  const char* in = bytes.data();
  if (bytes.substr(0, 8) != kSegmentMagic) {
    return "no segment header";
  }
  const crypto::Digest hash = crypto::sha256(bytes.substr(0, 96));
  if (!equal(hash, in + 96)) {
    return "the segment header's hash does not match";
  }
  if (get<std::uint32_t>(in + 8) != kFormatVersion ||
      get<std::uint32_t>(in + 12) != kSegmentHeaderBytes || get<std::uint32_t>(in + 48) != 1) {
    return kNewerHeader;
  }
  if (!all_zero(bytes.substr(52, 12))) {
    return "reserved bytes of the segment header are set";
  }
  header.number = get<std::uint64_t>(in + 16);
  header.segment_bytes = get<std::uint64_t>(in + 24);
  header.first_sequence = get<std::uint64_t>(in + 32);
  header.created_unix_ms = get<UnixMillis>(in + 40);
  std::memcpy(header.previous_hash.data(), in + 64, kHashBytes);
  header.hash = hash;
  return nullptr;
}

crypto::Digest append_frame(std::string& out, std::uint64_t sequence, UnixMillis unix_ms,
                            std::uint32_t batch_index, const crypto::Digest& previous_hash,
                            std::string_view body) {
  const std::size_t start = out.size();
  char head[kFrameHeaderBytes] = {};
  std::memcpy(head, kFrameMagic.data(), kFrameMagic.size());
  put(head + 4, static_cast<std::uint32_t>(body.size()));
  put(head + 8, sequence);
  put(head + 16, unix_ms);
  put(head + 24, batch_index);
  put(head + 28, static_cast<std::uint16_t>(FrameKind::record));
  put(head + 30, kRecordVersion);
  std::memcpy(head + 32, previous_hash.data(), kHashBytes);
  out.append(head, sizeof head);
  out.append(body);
  const crypto::Digest hash = crypto::sha256(std::string_view(out).substr(start));
  out.append(crypto::view(hash));
  return hash;
}

const char* parse_frame(std::string_view segment, std::uint64_t offset, Frame& frame) {
  if (offset > segment.size() || segment.size() - offset < kFrameBytesMin) {
    return "the segment ends inside the frame";
  }
  const std::string_view rest = segment.substr(offset);
  const char* in = rest.data();
  if (rest.substr(0, 4) != kFrameMagic) {
    return "no frame begins here";
  }
  const std::size_t body_bytes = get<std::uint32_t>(in + 4);
  if (body_bytes > limits::kAuditRecordBytesMax || body_bytes > rest.size() - kFrameBytesMin) {
    return "the frame's length is impossible";
  }
  const std::size_t hashed_bytes = kFrameHeaderBytes + body_bytes;
  frame.hash = crypto::sha256(rest.substr(0, hashed_bytes));
  if (!equal(frame.hash, in + hashed_bytes)) {
    return "the frame's hash does not match its bytes";
  }
  const auto version = get<std::uint16_t>(in + 30);
  if (get<std::uint16_t>(in + 28) != static_cast<std::uint16_t>(FrameKind::record) ||
      version == 0 || version > kRecordVersion) {
    return kNewerFrame;
  }
  frame.sequence = get<std::uint64_t>(in + 8);
  frame.unix_ms = get<UnixMillis>(in + 16);
  frame.batch_index = get<std::uint32_t>(in + 24);
  std::memcpy(frame.previous_hash.data(), in + 32, kHashBytes);
  frame.body = rest.substr(kFrameHeaderBytes, body_bytes);
  frame.leaf_data = rest.substr(0, hashed_bytes);
  frame.offset = offset;
  frame.bytes = hashed_bytes + kHashBytes;
  return nullptr;
}

void append_stub(std::string& out, const Stub& stub) {
  char bytes[kStubBytes] = {};
  std::memcpy(bytes, kStubMagic.data(), kStubMagic.size());
  put(bytes + 4, static_cast<std::uint32_t>(stub.body_bytes));
  put(bytes + 8, stub.sequence);
  put(bytes + 16, stub.unix_ms);
  std::memcpy(bytes + 32, stub.leaf.data(), kHashBytes);
  std::memcpy(bytes + 64, stub.sm3_leaf.data(), kHashBytes);
  std::memcpy(bytes + 96, stub.hash.data(), kHashBytes);
  out.append(bytes, sizeof bytes);
}

void append_kept_end(std::string& bytes, std::uint64_t records) {
  char end[16] = {};
  std::memcpy(end, kKeptEndMagic.data(), kKeptEndMagic.size());
  put(end + 8, records);
  bytes.append(end, sizeof end);
  bytes += crypto::view(crypto::sha256(bytes));
}

namespace {

const char* parse_stub(std::string_view bytes, Stub& stub) {
  const char* in = bytes.data();
  stub.body_bytes = get<std::uint32_t>(in + 4);
  if (stub.body_bytes > limits::kAuditRecordBytesMax || !all_zero(bytes.substr(24, 8))) {
    return "the stub's fields are impossible";
  }
  stub.sequence = get<std::uint64_t>(in + 8);
  stub.unix_ms = get<UnixMillis>(in + 16);
  std::memcpy(stub.leaf.data(), in + 32, kHashBytes);
  std::memcpy(stub.sm3_leaf.data(), in + 64, kHashBytes);
  std::memcpy(stub.hash.data(), in + 96, kHashBytes);
  return nullptr;
}

}  // namespace

const char* parse_entry(std::string_view bytes, std::uint64_t offset, KeptEntry& entry) {
  const std::string_view rest = bytes.substr(std::min<std::uint64_t>(offset, bytes.size()));
  entry.is_stub = rest.starts_with(kStubMagic);
  if (!entry.is_stub) {
    return parse_frame(bytes, offset, entry.frame);
  }
  return rest.size() < kStubBytes ? "the file ends inside a stub"
                                  : parse_stub(rest.substr(0, kStubBytes), entry.stub);
}

const char* scan_kept(std::string_view bytes, ChainState& chain,
                      const std::function<void(const KeptEntry&)>& visit) {
  if (bytes.size() < kSegmentHeaderBytes + kKeptEndBytes) {
    return "the file is too short";
  }
  const std::string_view hashed = bytes.substr(0, bytes.size() - kHashBytes);
  const std::string_view entries = bytes.substr(0, bytes.size() - kKeptEndBytes);
  if (!equal(crypto::sha256(hashed), bytes.data() + hashed.size()) ||
      !bytes.substr(entries.size()).starts_with(kKeptEndMagic)) {
    return "the hash at the end of the file does not match its bytes";
  }
  const std::uint64_t first = chain.next_sequence;
  std::uint64_t offset = kSegmentHeaderBytes;
  while (offset < entries.size()) {
    KeptEntry entry;
    if (const char* why = parse_entry(entries, offset, entry); why != nullptr) {
      return why;
    }
    if (!entry.continues(chain)) {
      return "the record does not follow the one before it";
    }
    if (visit) {
      visit(entry);
    }
    chain = {entry.sequence() + 1, entry.hash()};
    offset += entry.bytes();
  }
  const auto records = get<std::uint64_t>(bytes.data() + entries.size() + 8);
  return records == chain.next_sequence - first ? nullptr
                                                : "the file does not hold all of its records";
}

bool all_zero(std::string_view bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

void judge_tail(std::string_view segment, std::uint64_t offset, std::uint64_t next_sequence,
                const char* why, Scan& scan) {
  scan.offset = offset;
  if (offset >= segment.size() || all_zero(segment.substr(offset))) {
    scan.end = ScanEnd::clean;
    return;
  }
  scan.why = why;
  // It is whole, as its hash fits: no crash left it, and nobody may cut it off.
  if (why == kNewerFrame || why == kNewerHeader) {
    scan.end = ScanEnd::corrupt;
    return;
  }
  scan.end = ScanEnd::torn;
  for (std::size_t at = segment.find(kFrameMagic, offset); at != std::string_view::npos;
       at = segment.find(kFrameMagic, at + 1)) {
    Frame frame;
    if (const char* unread = parse_frame(segment, at, frame); unread != nullptr) {
      if (unread == kNewerFrame) {
        scan.end = ScanEnd::corrupt;
        scan.why = unread;
        return;
      }
      continue;
    }
    // Pages of one write may reach the disk in any order, so whole frames of the interrupted
    // commit may stand behind a hole. A later commit is only written once this one is durable.
    const bool same_commit = at != offset && frame.sequence > next_sequence &&
                             frame.sequence - next_sequence <= frame.batch_index;
    if (!same_commit) {
      scan.end = ScanEnd::corrupt;
      scan.why = at == offset ? fmt::format("record {} stands where record {} belongs",
                                            frame.sequence, next_sequence)
                              : fmt::format("{}, yet the valid record {} follows at offset {}", why,
                                            frame.sequence, at);
      return;
    }
  }
}

Scan scan_frames(std::string_view segment, std::uint64_t offset, ChainState& chain,
                 const FrameVisitor& visit) {
  Scan scan;
  scan.offset = offset;
  scan.last_batch_offset = offset;
  for (;;) {
    Frame frame;
    const char* why = parse_frame(segment, scan.offset, frame);
    if (why == nullptr && frame.sequence == chain.next_sequence &&
        frame.previous_hash != chain.last_hash) {
      scan.end = ScanEnd::corrupt;
      scan.why = "the record does not chain to the one before it";
      return scan;
    }
    if (why != nullptr || frame.sequence != chain.next_sequence) {
      judge_tail(segment, scan.offset, chain.next_sequence, why == nullptr ? "" : why, scan);
      return scan;
    }
    if (frame.batch_index == 0) {
      scan.last_batch_offset = frame.offset;
    }
    if (visit) {
      visit(frame);
    }
    chain.next_sequence = frame.sequence + 1;
    chain.last_hash = frame.hash;
    scan.offset += frame.bytes;
  }
}

}  // namespace deepmoat::audit
