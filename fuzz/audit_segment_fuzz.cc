// links: deepmoat_audit deepmoat_base
// Bytes as an audit segment. The first byte chooses: even, the rest is a segment; odd, the rest
// says which bytes of a valid segment to change. Nothing crashes, no reading leaves the buffer, a
// changed segment never reads as the whole one, and what decodes has one spelling.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "audit/format.h"
#include "audit/record_json.h"

namespace deepmoat::audit {
namespace {

struct Reading {
  bool header = false;
  Scan scan;
  ChainState chain;
};

Reading read_segment(std::string_view segment) {
  Reading reading;
  SegmentHeader header;
  if (parse_segment_header(segment, header) != nullptr) {
    judge_tail(segment, 0, 1, "no header", reading.scan);
    return reading;
  }
  reading.header = true;
  reading.chain = {header.first_sequence, header.hash};
  RecordDecoder decoder;
  reading.scan = scan_frames(segment, kSegmentHeaderBytes, reading.chain, [&](const Frame& frame) {
    if (frame.offset + frame.bytes > segment.size()) {
      std::abort();
    }
    if (const auto record = decoder.decode(frame.body);
        record && encode_record(*record) != frame.body) {
      std::abort();
    }
  });
  if (reading.scan.offset > segment.size()) {
    std::abort();
  }
  return reading;
}

std::string valid_segment() {
  SegmentHeader header{.number = 1, .segment_bytes = kSegmentBytesMin, .first_sequence = 1};
  std::string bytes = encode_segment_header(header);
  crypto::Digest hash = header.hash;
  for (std::uint64_t sequence = 1; sequence <= 9; ++sequence) {
    Record record;
    record.request_id = "req_" + std::to_string(sequence);
    record.resource = "\xe4\xb8\xad";
    hash =
        append_frame(bytes, sequence, 1'700'000'000'000,
                     static_cast<std::uint32_t>((sequence - 1) % 3), hash, encode_record(record));
  }
  bytes.resize(kSegmentBytesMin, '\0');
  return bytes;
}

// Three bytes a change: two of position, one that is XORed in.
void check_changed(std::string_view changes) {
  static const std::string original = valid_segment();
  static const Reading whole = read_segment(original);
  std::string changed = original;
  for (; changes.size() >= 3; changes.remove_prefix(3)) {
    const std::size_t at =
        (static_cast<unsigned char>(changes[0]) * 256U + static_cast<unsigned char>(changes[1])) %
        changed.size();
    changed[at] = static_cast<char>(changed[at] ^ changes[2]);
  }
  const Reading reading = read_segment(changed);
  const bool reads_whole = reading.header && reading.scan.end == ScanEnd::clean &&
                           reading.chain.last_hash == whole.chain.last_hash;
  if (reads_whole != (changed == original)) {
    std::abort();
  }
}

void check_segment(std::string_view input) {
  // A copy of exactly this size, so that a sanitizer sees any reading beyond it.
  const std::string segment(input);
  read_segment(segment);
  RecordDecoder decoder;
  static_cast<void>(decoder.decode(segment));
}

}  // namespace
}  // namespace deepmoat::audit

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 1) {
    deepmoat::audit::check_changed(input);
  } else {
    deepmoat::audit::check_segment(input);
  }
  return 0;
}
