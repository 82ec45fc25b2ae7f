// Recovery at open. Runs on the thread that opens the log, before any other touches the folder.
#include "audit/recovery.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <string>

#include "audit/segment.h"
#include "base/log.h"

namespace deepmoat::audit {

namespace {

std::unexpected<Error> corrupt(const SegmentFile& file, std::uint64_t sequence,
                               std::uint64_t offset, std::string_view why) {
  return fail(Code::corrupt,
              fmt::format("audit log {}: record {}, offset {}: {}; run `deepmoat audit verify`",
                          file.path().string(), sequence, offset, why));
}

// Writes `bytes` at `offset` and waits until they are on the disk.
Result<> write_durably(const SegmentFile& file, std::string_view bytes, std::uint64_t offset) {
  TRY(const UniqueFd writable, open_file(file.path(), O_WRONLY | O_NOFOLLOW));
  CHECK_OK(write_all_at(writable.get(), bytes, static_cast<off_t>(offset)));
  if (::fdatasync(writable.get()) != 0) {
    return fail_errno(Code::io, "fdatasync " + file.path().string());
  }
  return {};
}

Result<> cut_tail(const SegmentFile& file, std::string_view bytes, const Scan& scan,
                  std::uint64_t sequence) {
  const std::size_t end = bytes.find_last_not_of('\0') + 1;
  const std::string zeros(end - scan.offset, '\0');
  CHECK_OK(write_durably(file, zeros, scan.offset));
  log::warn("audit log: cut off a torn tail that a crash left; no acknowledged record was in it",
            {{"segment", file.path().filename().string()},
             {"offset", scan.offset},
             {"bytes", zeros.size()},
             {"next_sequence", sequence},
             {"why", scan.why}});
  return {};
}

// Repairs and settles the segment that writing goes on in: cuts its torn tail, and writes its last
// commit again, for a crash (or a failed fdatasync) may have left it in memory only.
Result<> settle(const SegmentFile& file, std::string_view bytes, const Scan& scan,
                std::uint64_t sequence) {
  if (scan.end == ScanEnd::torn) {
    CHECK_OK(cut_tail(file, bytes, scan, sequence));
  }
  // The first commit of a segment carries the header along.
  const std::uint64_t from =
      scan.last_batch_offset == kSegmentHeaderBytes ? 0 : scan.last_batch_offset;
  return write_durably(file, bytes.substr(from, scan.offset - from), from);
}

// Judges a last segment without a valid header: blank, or torn in its first commit.
Result<Scan> judge_blank(const SegmentFile& file, std::string_view bytes, const ChainState& chain) {
  Scan scan;
  SegmentHeader header;
  const char* why = parse_segment_header(bytes, header);
  judge_tail(bytes, 0, chain.next_sequence, why == nullptr ? "" : why, scan);
  if (scan.end == ScanEnd::corrupt) {
    return corrupt(file, chain.next_sequence, 0, scan.why);
  }
  return scan;
}

Result<SegmentHeader> check_header(const SegmentFile& file, std::string_view bytes,
                                   const ChainState* before) {
  SegmentHeader header;
  if (const char* why = check_segment_header(file, bytes, before, header); why != nullptr) {
    return corrupt(file, before != nullptr ? before->next_sequence : header.first_sequence, 0, why);
  }
  return header;
}

// Old segments: their headers only.
Result<> check_old_headers(const std::filesystem::path& directory, std::uint64_t count) {
  std::uint64_t least_sequence = 1;
  for (std::uint64_t number = 1; number <= count; ++number) {
    TRY(const SegmentFile file, SegmentFile::open(directory, number));
    TRY(const std::string head, file.read(0, kSegmentHeaderBytes));
    TRY(const SegmentHeader header, check_header(file, head, nullptr));
    if (header.first_sequence < least_sequence) {
      return corrupt(file, header.first_sequence, 0, "its first sequence is not possible here");
    }
    least_sequence = header.first_sequence + 1;
  }
  return {};
}

// Scans a segment that has a header. `before`, when given, is where the segment before it ended.
Result<Scan> scan_segment(const SegmentFile& file, std::string_view bytes, const ChainState* before,
                          ChainState& chain) {
  TRY(const SegmentHeader header, check_header(file, bytes, before));
  chain = {header.first_sequence, header.hash};
  Scan scan = scan_frames(bytes, kSegmentHeaderBytes, chain, nullptr);
  if (scan.end == ScanEnd::corrupt) {
    return corrupt(file, chain.next_sequence, scan.offset, scan.why);
  }
  return scan;
}

// The last segment has a header: all before it is sealed, writing goes on in the last.
Result<> recover_in_last(const std::filesystem::path& directory, const SegmentFile& last,
                         std::string_view last_bytes, WritePosition& position) {
  ChainState before;
  if (last.number() > 1) {
    TRY(const SegmentFile sealed, SegmentFile::open(directory, last.number() - 1));
    std::string bytes;
    CHECK_OK(sealed.load(bytes));
    TRY(const Scan scan, scan_segment(sealed, bytes, nullptr, before));
    if (scan.end == ScanEnd::torn) {
      return corrupt(sealed, before.next_sequence, scan.offset, scan.why);
    }
  }
  TRY(const Scan scan, scan_segment(last, last_bytes, &before, position.chain));
  position.segment = last.number();
  position.offset = scan.offset;
  return settle(last, last_bytes, scan, position.chain.next_sequence);
}

// The last segment is the blank spare: writing goes on in the one before it.
Result<> recover_before_blank(const std::filesystem::path& directory, const SegmentFile& blank,
                              std::string_view blank_bytes, WritePosition& position) {
  if (blank.number() == 1) {
    TRY(const Scan blank_scan, judge_blank(blank, blank_bytes, position.chain));
    return blank_scan.end == ScanEnd::torn ? cut_tail(blank, blank_bytes, blank_scan, 1)
                                           : Result<>{};
  }
  TRY(const SegmentFile active, SegmentFile::open(directory, blank.number() - 1));
  std::string bytes;
  CHECK_OK(active.load(bytes));
  TRY(const Scan scan, scan_segment(active, bytes, nullptr, position.chain));
  TRY(const Scan blank_scan, judge_blank(blank, blank_bytes, position.chain));
  const std::uint64_t sequence = position.chain.next_sequence;
  if (blank_scan.end == ScanEnd::torn) {
    if (scan.end == ScanEnd::torn) {  // the next segment is only begun after a whole commit
      return corrupt(active, sequence, scan.offset, scan.why);
    }
    CHECK_OK(cut_tail(blank, blank_bytes, blank_scan, sequence));
  }
  position.segment = active.number();
  position.offset = scan.offset;
  return settle(active, bytes, scan, sequence);
}

}  // namespace

Result<WritePosition> recover(const std::filesystem::path& directory) {
  WritePosition position;
  TRY(position.segments, count_segments(directory));
  if (position.segments == 0) {
    return position;
  }
  TRY(const SegmentFile last, SegmentFile::open(directory, position.segments));
  CHECK_OK(check_old_headers(directory, position.segments - 1));
  std::string bytes;
  CHECK_OK(last.load(bytes));
  SegmentHeader header;
  if (parse_segment_header(bytes, header) == nullptr) {
    CHECK_OK(recover_in_last(directory, last, bytes, position));
  } else {
    CHECK_OK(recover_before_blank(directory, last, bytes, position));
  }
  return position;
}

}  // namespace deepmoat::audit
