// links: deepmoat_audit deepmoat_base
// Bytes as a segment whose expired bodies were deleted. The first byte chooses: even, the rest is
// such a file with its hash made right, so that what lies behind the hash is reached; odd, the rest
// says which bytes of a valid file to change. Nothing crashes, no reading leaves the buffer, and no
// changed file reads as the whole one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "audit/format.h"

namespace deepmoat::audit {
namespace {

std::string valid_file() {
  SegmentHeader header{.number = 1, .segment_bytes = kSegmentBytesMin, .first_sequence = 1};
  std::string bytes = encode_segment_header(header);
  crypto::Digest hash = header.hash;
  for (std::uint64_t sequence = 1; sequence <= 6; ++sequence) {
    std::string frame;
    hash = append_frame(frame, sequence, 1'700'000'000'000, 0, hash, "body of some length");
    if (sequence % 2 == 0) {
      append_stub(bytes, {.body_bytes = 19, .sequence = sequence, .unix_ms = 5, .hash = hash});
    } else {
      bytes += frame;
    }
  }
  append_kept_end(bytes, 6);
  return bytes;
}

bool reads_whole(std::string_view bytes) {
  SegmentHeader header;
  if (parse_segment_header(bytes, header) != nullptr) {
    return false;
  }
  ChainState chain{header.first_sequence, header.hash};
  std::uint64_t records = 0;
  const char* why = scan_kept(bytes, chain, [&](const KeptEntry& entry) {
    ++records;
    if (!entry.is_stub && entry.frame.offset + entry.frame.bytes > bytes.size()) {
      std::abort();
    }
  });
  if (why == nullptr && records != chain.next_sequence - header.first_sequence) {
    std::abort();
  }
  return why == nullptr;
}

void check_changed(std::string_view changes) {
  static const std::string original = valid_file();
  std::string changed = original;
  for (; changes.size() >= 3; changes.remove_prefix(3)) {
    const std::size_t at =
        (static_cast<unsigned char>(changes[0]) * 256U + static_cast<unsigned char>(changes[1])) %
        changed.size();
    changed[at] = static_cast<char>(changed[at] ^ changes[2]);
  }
  if (reads_whole(changed) != (changed == original)) {
    std::abort();
  }
}

void check_entries(std::string_view entries) {
  std::string bytes = valid_file().substr(0, kSegmentHeaderBytes) + std::string(entries);
  append_kept_end(bytes, entries.size() % 7);
  static_cast<void>(reads_whole(std::string(bytes)));
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
    deepmoat::audit::check_entries(input);
  }
  return 0;
}
