// The tail reader. Any one thread; reads only.
#include "audit/tail.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace deepmoat::audit {

namespace {

constexpr std::size_t kWindowBytes = 1024 * 1024;
static_assert(kWindowBytes > kFrameBytesMax);

Result<Entry> decode_entry(RecordDecoder& decoder, std::uint64_t sequence, UnixMillis unix_ms,
                           std::string_view body) {
  Entry entry{.sequence = sequence, .record = {}};
  TRY(entry.record, decoder.decode(body));
  entry.record.unix_ms = unix_ms;
  return entry;
}

std::unexpected<Error> corrupt(std::uint64_t number, std::uint64_t sequence, std::uint64_t offset,
                               std::string_view why) {
  return fail(Code::corrupt,
              fmt::format("audit log {}: record {}, offset {}: {}; run `deepmoat audit verify`",
                          segment_name(number), sequence, offset, why));
}

// Whether a reader that had read `file` up to `place` would have come to the same state. The hash
// of the frame before vouches for all that came before that.
Result<bool> stood_here(const SegmentFile& file, const TailPlace& place) {
  if (place.last_offset != 0) {
    TRY(const std::string bytes, file.read(place.last_offset, kFrameBytesMax));
    KeptEntry entry;
    return parse_entry(bytes, 0, entry) == nullptr && entry.hash() == place.chain.last_hash &&
           entry.sequence() + 1 == place.chain.next_sequence &&
           place.last_offset + entry.bytes() == place.offset;
  }
  TRY(const std::string head, file.read(0, kSegmentHeaderBytes));
  SegmentHeader header;
  if (parse_segment_header(head, header) != nullptr ||
      header.first_sequence != place.chain.next_sequence) {
    return false;
  }
  const crypto::Digest& before = place.offset == 0 ? header.previous_hash : header.hash;
  return header.number == place.segment && before == place.chain.last_hash;
}

}  // namespace

// The last frames of a segment: their places, oldest first from `next` on once the ring is full.
struct TailReader::Found {
  std::vector<std::uint64_t> offsets;
  std::size_t next = 0;

  void add(std::uint64_t offset, std::size_t count) {
    if (offsets.size() < count) {
      offsets.push_back(offset);
    } else if (count > 0) {
      offsets[next] = offset;
      next = (next + 1) % count;
    }
  }
};

Result<std::vector<Entry>> TailReader::read_segment_end(std::uint64_t number, std::size_t count,
                                                        bool live) {
  TRY(const SegmentFile file, SegmentFile::open(directory_, number));
  std::string bytes;
  CHECK_OK(file.load(bytes));
  SegmentHeader header;
  if (const char* why = check_segment_header(file, bytes, nullptr, header); why != nullptr) {
    return corrupt(number, header.first_sequence, 0, why);
  }
  ChainState chain{header.first_sequence, header.hash};
  Found found;
  std::uint64_t last_offset = 0;
  const auto take = [&](const Frame& frame) {
    found.add(frame.offset, count);
    last_offset = frame.offset;
  };
  Scan scan;
  if (file.kept()) {
    const char* why = scan_kept(bytes, chain, [&](const KeptEntry& entry) {
      if (!entry.is_stub) {
        take(entry.frame);
      }
    });
    if (why != nullptr) {
      return corrupt(number, chain.next_sequence, 0, why);
    }
  } else {
    scan = scan_frames(bytes, kSegmentHeaderBytes, chain, take);
  }
  if (!live && scan.end != ScanEnd::clean) {
    return corrupt(number, chain.next_sequence, scan.offset, scan.why);
  }
  if (live) {
    segment_ = number;
    offset_ = scan.offset;
    last_offset_ = last_offset;
    chain_ = chain;
    file_.reset();
  }
  std::ranges::rotate(found.offsets,
                      found.offsets.begin() + static_cast<std::ptrdiff_t>(found.next));
  std::vector<Entry> entries;
  for (const std::uint64_t offset : found.offsets) {
    Frame frame;
    if (const char* why = parse_frame(bytes, offset, frame); why != nullptr) {
      return corrupt(number, 0, offset, why);
    }
    TRY(Entry entry, decode_entry(decoder_, frame.sequence, frame.unix_ms, frame.body));
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<std::vector<Entry>> TailReader::read_last(std::size_t count) {
  TRY(std::uint64_t number, count_segments(directory_));
  // The last file may be the blank spare.
  for (int spares = 0; number > 0 && spares < 2; ++spares, --number) {
    TRY(const SegmentFile file, SegmentFile::open(directory_, number));
    TRY(const std::string head, file.read(0, kSegmentHeaderBytes));
    SegmentHeader header;
    if (parse_segment_header(head, header) == nullptr) {
      break;
    }
    if (spares == 1) {
      return corrupt(number, 0, 0, "no valid header, yet segments follow");
    }
  }
  std::vector<Entry> entries;
  for (bool live = true; number > 0 && (live || entries.size() < count); --number, live = false) {
    TRY(std::vector<Entry> older, read_segment_end(number, count - entries.size(), live));
    older.insert(older.end(), std::make_move_iterator(entries.begin()),
                 std::make_move_iterator(entries.end()));
    entries = std::move(older);
  }
  return entries;
}

// Reads the header of the segment we stand before; false when it has none yet.
Result<bool> TailReader::enter_segment() {
  auto file = SegmentFile::open(directory_, segment_);
  if (!file) {
    return file.error().code == Code::not_found ? Result<bool>(false)
                                                : std::unexpected(std::move(file).error());
  }
  TRY(const std::string head, file->read(0, kSegmentHeaderBytes));
  SegmentHeader header;
  if (parse_segment_header(head, header) != nullptr) {
    return false;
  }
  if (const char* why = check_segment_header(*file, head, &chain_, header); why != nullptr) {
    return corrupt(segment_, chain_.next_sequence, 0, why);
  }
  file_ = std::move(*file);
  chain_.last_hash = header.hash;
  offset_ = kSegmentHeaderBytes;
  last_offset_ = 0;
  return true;
}

// Hands out the whole records that one read finds from here on.
Result<std::uint64_t> TailReader::read_window(const TailSearch& wanted, const OnEntry& on_entry) {
  TRY(const std::string window, file_->read(offset_, kWindowBytes));
  std::uint64_t count = 0;
  KeptEntry entry;
  for (std::uint64_t at = 0; parse_entry(window, at, entry) == nullptr; at += entry.bytes()) {
    if (!entry.continues(chain_)) {
      return corrupt(segment_, chain_.next_sequence, offset_, "another record stands here");
    }
    if (entry.sequence() > wanted.last_sequence) {
      past_ = true;
      return count;
    }
    const Frame& frame = entry.frame;
    if (!entry.is_stub && frame.body.find(wanted.containing) != std::string_view::npos) {
      TRY(const Entry read, decode_entry(decoder_, frame.sequence, frame.unix_ms, frame.body));
      on_entry(read);
    }
    chain_ = {entry.sequence() + 1, entry.hash()};
    last_offset_ = offset_;
    offset_ += entry.bytes();
    ++count;
  }
  return count;
}

// Whether the segment after ours has begun: then ours is complete.
Result<bool> TailReader::next_segment_continues() {
  auto next = SegmentFile::open(directory_, segment_ + 1);
  if (!next) {
    return next.error().code == Code::not_found ? Result<bool>(false)
                                                : std::unexpected(std::move(next).error());
  }
  TRY(const std::string head, next->read(0, kSegmentHeaderBytes));
  SegmentHeader header;
  return parse_segment_header(head, header) == nullptr;
}

Result<std::uint64_t> TailReader::poll(const OnEntry& on_entry) {
  return read_on({}, on_entry);
}

Result<std::uint64_t> TailReader::search(const TailSearch& wanted, const OnEntry& on_entry) {
  past_ = false;
  return read_on(wanted, on_entry);
}

Result<> TailReader::skip_to(UnixMillis since_ms) {
  TRY(const std::uint64_t count, count_segments(directory_));
  SegmentHeader before;
  // Not by halving: a clock that was set back leaves times that do not rise.
  for (std::uint64_t number = 1; number <= count; ++number) {
    TRY(const SegmentFile file, SegmentFile::open(directory_, number));
    TRY(const std::string head, file.read(0, kSegmentHeaderBytes));
    SegmentHeader header;
    if (parse_segment_header(head, header) != nullptr || header.created_unix_ms > since_ms) {
      break;  // the one before ended after that time, or is the last
    }
    before = header;
  }
  if (before.number > 1) {
    segment_ = before.number;
    chain_ = {before.first_sequence, before.previous_hash};
  }
  return {};
}

Result<bool> TailReader::resume(const TailPlace& place) {
  const bool at_start = place.segment == 1 && place.offset == 0;
  if (!at_start) {
    auto file = SegmentFile::open(directory_, place.segment);
    if (!file) {
      return file.error().code == Code::not_found ? Result<bool>(false)
                                                  : std::unexpected(std::move(file).error());
    }
    TRY(const bool there, stood_here(*file, place));
    if (!there) {
      return false;
    }
  }
  segment_ = place.segment;
  offset_ = place.offset;
  last_offset_ = place.last_offset;
  chain_ = place.chain;
  file_.reset();
  return true;
}

Result<std::uint64_t> TailReader::read_on(const TailSearch& wanted, const OnEntry& on_entry) {
  std::uint64_t count = 0;
  for (;;) {
    if (wanted.stop != nullptr && wanted.stop->load(std::memory_order_relaxed)) {
      return count;
    }
    if (!file_) {
      if (offset_ != 0) {
        TRY(file_, SegmentFile::open(directory_, segment_));
      } else {
        TRY(const bool entered, enter_segment());
        if (!entered) {
          return count;
        }
      }
    }
    TRY(std::uint64_t found, read_window(wanted, on_entry));
    if (past_) {
      return count + found;
    }
    if (found == 0) {
      TRY(const bool complete, next_segment_continues());
      if (!complete) {
        return count;
      }
      TRY(found, read_window(wanted, on_entry));  // what came between the two looks
      if (found == 0) {
        ++segment_;
        offset_ = 0;
        last_offset_ = 0;
        file_.reset();
      }
    }
    count += found;
  }
}

Result<> follow(TailReader& reader, const std::atomic<bool>& stop, const OnEntry& on_entry) {
  while (!stop.load(std::memory_order_relaxed)) {
    CHECK_OK(reader.poll(on_entry));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return {};
}

}  // namespace deepmoat::audit
