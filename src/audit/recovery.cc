// Recovery at open. Runs on the thread that opens the log, before any other touches the folder.
#include "audit/recovery.h"

#include <fmt/format.h>

#include <memory>
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

// One recovery: the folder that it works in.
class Recovery {
 public:
  Recovery(const std::filesystem::path& directory, Disk& disk)
      : directory_(directory), disk_(disk), tail_unknown_(disk.exists(directory / kTailUnknown)) {}

  Result<WritePosition> run();

 private:
  Result<SegmentFile> open(std::uint64_t number) {
    return SegmentFile::open(directory_, number, disk_);
  }
  Result<> write_durably(const SegmentFile& file, std::string_view bytes, std::uint64_t offset);
  Result<> cut_tail(const SegmentFile& file, std::string_view bytes, const Scan& scan,
                    std::uint64_t sequence);
  Result<> settle(const SegmentFile& file, std::string_view bytes, const Scan& scan,
                  std::uint64_t sequence);
  Result<> settle_blank(const SegmentFile& blank, std::string_view bytes, const Scan& scan,
                        std::uint64_t sequence, WritePosition& position);
  Result<> check_old_headers(std::uint64_t count);
  Result<> recover_in_last(const SegmentFile& last, std::string_view last_bytes,
                           WritePosition& position);
  Result<> recover_before_blank(const SegmentFile& blank, std::string_view blank_bytes,
                                WritePosition& position);

  const std::filesystem::path& directory_;
  Disk& disk_;
  const bool tail_unknown_;
};

// Writes `bytes` at `offset` and waits until they are on the disk. When that fails, the next start
// must not trust this file either.
Result<> Recovery::write_durably(const SegmentFile& file, std::string_view bytes,
                                 std::uint64_t offset) {
  TRY(const std::unique_ptr<DiskFile> writable, disk_.open_to_write(file.path()));
  Result<> done = writable->write_at(bytes, offset);
  if (done) {
    done = writable->sync();
  }
  if (!done) {
    mark_tail_unknown(directory_, disk_);
  }
  return done;
}

Result<> Recovery::cut_tail(const SegmentFile& file, std::string_view bytes, const Scan& scan,
                            std::uint64_t sequence) {
  const std::size_t end = bytes.find_last_not_of('\0') + 1;
  const std::string zeros(end - scan.offset, '\0');
  log::warn("audit log: cut off a torn tail that a crash left; no acknowledged record was in it",
            {{"segment", file.name()},
             {"offset", scan.offset},
             {"bytes", zeros.size()},
             {"next_sequence", sequence},
             {"why", scan.why}});
  return tail_unknown_ ? Result<>() : write_durably(file, zeros, scan.offset);
}

// Repairs and settles the segment that writing goes on in: cuts its torn tail, and writes its last
// commit again, for a crash (or a failed fdatasync) may have left it in memory only.
Result<> Recovery::settle(const SegmentFile& file, std::string_view bytes, const Scan& scan,
                          std::uint64_t sequence) {
  if (scan.end == ScanEnd::torn) {
    CHECK_OK(cut_tail(file, bytes, scan, sequence));
  }
  if (tail_unknown_) {
    log::warn("audit log: the disk failed here before; the last segment goes into a new file",
              {{"segment", file.name()}, {"next_sequence", sequence}});
    return prepare_segment(directory_, file.number(), file.bytes(), disk_,
                           bytes.substr(0, scan.offset));
  }
  // The first commit of a segment carries the header along.
  const std::uint64_t from =
      scan.last_batch_offset == kSegmentHeaderBytes ? 0 : scan.last_batch_offset;
  return write_durably(file, bytes.substr(from, scan.offset - from), from);
}

// The same for the file behind it, which holds nothing that was acknowledged.
Result<> Recovery::settle_blank(const SegmentFile& blank, std::string_view bytes, const Scan& scan,
                                std::uint64_t sequence, WritePosition& position) {
  if (scan.end == ScanEnd::torn) {
    CHECK_OK(cut_tail(blank, bytes, scan, sequence));
  }
  if (!tail_unknown_) {
    return {};
  }
  CHECK_OK(disk_.remove(blank.path()));
  --position.segments;
  return disk_.sync_folder(directory_);
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
Result<> Recovery::check_old_headers(std::uint64_t count) {
  std::uint64_t least_sequence = 1;
  for (std::uint64_t number = 1; number <= count; ++number) {
    TRY(const SegmentFile file, open(number));
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
  if (file.kept()) {
    const char* why = scan_kept(bytes, chain, nullptr);
    return why == nullptr ? Result<Scan>(Scan{.why = {}})
                          : corrupt(file, chain.next_sequence, 0, why);
  }
  Scan scan = scan_frames(bytes, kSegmentHeaderBytes, chain, nullptr);
  if (scan.end == ScanEnd::corrupt) {
    return corrupt(file, chain.next_sequence, scan.offset, scan.why);
  }
  return scan;
}

// The last segment has a header: all before it is sealed, writing goes on in the last.
Result<> Recovery::recover_in_last(const SegmentFile& last, std::string_view last_bytes,
                                   WritePosition& position) {
  ChainState before;
  if (last.number() > 1) {
    TRY(const SegmentFile sealed, open(last.number() - 1));
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
Result<> Recovery::recover_before_blank(const SegmentFile& blank, std::string_view blank_bytes,
                                        WritePosition& position) {
  if (blank.number() == 1) {
    TRY(const Scan blank_scan, judge_blank(blank, blank_bytes, position.chain));
    return settle_blank(blank, blank_bytes, blank_scan, 1, position);
  }
  TRY(const SegmentFile active, open(blank.number() - 1));
  std::string bytes;
  CHECK_OK(active.load(bytes));
  TRY(const Scan scan, scan_segment(active, bytes, nullptr, position.chain));
  TRY(const Scan blank_scan, judge_blank(blank, blank_bytes, position.chain));
  const std::uint64_t sequence = position.chain.next_sequence;
  if (blank_scan.end == ScanEnd::torn) {
    if (scan.end == ScanEnd::torn) {  // the next segment is only begun after a whole commit
      return corrupt(active, sequence, scan.offset, scan.why);
    }
  }
  CHECK_OK(settle_blank(blank, blank_bytes, blank_scan, sequence, position));
  position.segment = active.number();
  position.offset = scan.offset;
  return settle(active, bytes, scan, sequence);
}

Result<WritePosition> Recovery::run() {
  WritePosition position;
  TRY(position.segments, count_segments(directory_, disk_));
  if (position.segments == 0) {
    return position;
  }
  // The process before us may have ended between a file's renaming and this.
  CHECK_OK(disk_.sync_folder(directory_));
  TRY(const SegmentFile last, open(position.segments));
  CHECK_OK(check_old_headers(position.segments - 1));
  std::string bytes;
  CHECK_OK(last.load(bytes));
  SegmentHeader header;
  if (parse_segment_header(bytes, header) == nullptr) {
    CHECK_OK(recover_in_last(last, bytes, position));
  } else {
    CHECK_OK(recover_before_blank(last, bytes, position));
  }
  if (tail_unknown_) {
    CHECK_OK(disk_.remove(directory_ / kTailUnknown));
    CHECK_OK(disk_.sync_folder(directory_));
  }
  return position;
}

}  // namespace

Result<WritePosition> recover(const std::filesystem::path& directory, Disk& disk) {
  return Recovery(directory, disk).run();
}

void mark_tail_unknown(const std::filesystem::path& directory, Disk& disk) {
  if (const auto file = disk.create(directory / kTailUnknown, 0); file) {
    (void)(*file)->sync();
    (void)disk.sync_folder(directory);
  }
}

}  // namespace deepmoat::audit
