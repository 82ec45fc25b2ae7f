// The verifier. Any thread; reads only.
#include "audit/verify.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

#include "audit/format.h"
#include "audit/record_json.h"
#include "audit/segment.h"
#include "base/hex.h"

namespace deepmoat::audit {

namespace {

constexpr std::size_t kUnfinishedShown = 20;

class Verifier {
 public:
  explicit Verifier(const std::filesystem::path& directory) : directory_(directory) {}

  Result<VerifyReport> run(const VerifyProgress& progress) {
    if (auto walked = walk(progress); !walked) {
      if (walked.error().code != Code::corrupt) {
        return std::unexpected(std::move(walked).error());
      }
      // A file that is missing or no segment: the message names it.
      set_bad("", 0, walked.error().message);
    }
    report_.last_hash_hex = to_hex(crypto::view(last_record_hash_));
    report_.unfinished = open_intents_.size();
    std::vector<std::uint64_t> open(open_intents_.begin(), open_intents_.end());
    std::ranges::sort(open);
    open.resize(std::min(open.size(), kUnfinishedShown));
    report_.unfinished_first = std::move(open);
    return std::move(report_);
  }

 private:
  Result<> walk(const VerifyProgress& progress) {
    TRY(const std::uint64_t count, count_segments(directory_));
    for (std::uint64_t number = 1; number <= count && report_.intact(); ++number) {
      TRY(const SegmentFile file, SegmentFile::open(directory_, number));
      // Before the scan: once the next segment has its header, nothing is added to this one.
      bool sealed = false;
      if (number < count) {
        TRY(sealed, has_header(number + 1));
      }
      CHECK_OK(file.load(buffer_));
      CHECK_OK(check_segment(file, sealed, count));
      if (progress) {
        progress(number * file.bytes(), count * file.bytes());
      }
      if (!sealed) {
        if (number + 1 < count) {
          set_bad(segment_name(number + 1), 0, "no valid header, yet segments follow");
        } else if (number + 1 == count && report_.intact()) {
          CHECK_OK(check_spare(count));
        }
        break;
      }
    }
    return {};
  }

  Result<bool> has_header(std::uint64_t number) {
    TRY(const SegmentFile file, SegmentFile::open(directory_, number));
    TRY(const std::string head, file.read(0, kSegmentHeaderBytes));
    SegmentHeader header;
    return parse_segment_header(head, header) == nullptr;
  }

  Result<> check_segment(const SegmentFile& file, bool sealed, std::uint64_t count) {
    const std::string name = segment_name(file.number());
    SegmentHeader header;
    if (parse_segment_header(buffer_, header) != nullptr) {
      TRY(const bool begun_meanwhile, has_header(file.number()));
      if (begun_meanwhile) {
        CHECK_OK(file.load(buffer_));
      }
    }
    const char* why = check_segment_header(file, buffer_, &chain_, header);
    if (why != nullptr) {
      Scan scan;
      judge_tail(buffer_, 0, chain_.next_sequence, why, scan);
      const bool blank = file.number() == 1 && count == 1 && scan.end != ScanEnd::corrupt &&
                         parse_segment_header(buffer_, header) != nullptr;
      if (!blank) {
        set_bad(name, 0, scan.end == ScanEnd::corrupt ? scan.why : why);
      } else if (scan.end == ScanEnd::torn) {
        report_.torn_tail = TornTail{name, 0, scan.whole_after_tear, scan.why};
      }
      return {};
    }
    ++report_.segments;
    chain_.last_hash = header.hash;
    const FrameVisitor visit = [&](const Frame& frame) { check_record(name, frame); };
    Scan scan = scan_frames(buffer_, kSegmentHeaderBytes, chain_, visit);
    while (!sealed && scan.end != ScanEnd::clean && report_.intact()) {
      // A server may have been writing here while we read. If the bytes at the tear are still the
      // same after all that follows was read, then nothing that follows can be a later commit's.
      TRY(const std::string again, file.read(scan.offset, kFrameBytesMax));
      if (std::string_view(buffer_).substr(scan.offset, again.size()) == again) {
        break;
      }
      CHECK_OK(file.load(buffer_, scan.offset));
      scan = scan_frames(buffer_, scan.offset, chain_, visit);
    }
    if (scan.end == ScanEnd::corrupt || (scan.end == ScanEnd::torn && sealed)) {
      set_bad(name, scan.offset, scan.why);
    } else if (scan.end == ScanEnd::torn) {
      report_.torn_tail = TornTail{name, scan.offset, scan.whole_after_tear, scan.why};
    }
    return {};
  }

  // The file behind the last segment with a header: zeros, or torn in its first commit.
  Result<> check_spare(std::uint64_t number) {
    TRY(const SegmentFile file, SegmentFile::open(directory_, number));
    CHECK_OK(file.load(buffer_));
    TRY(const bool begun_meanwhile, has_header(number));
    if (begun_meanwhile) {
      return {};  // a server has gone on; our look at the log ends before that
    }
    SegmentHeader header;
    const char* why = parse_segment_header(buffer_, header);
    Scan scan;
    judge_tail(buffer_, 0, chain_.next_sequence, why == nullptr ? "" : why, scan);
    const std::string name = segment_name(number);
    if (scan.end == ScanEnd::corrupt || (scan.end == ScanEnd::torn && report_.torn_tail)) {
      set_bad(name, 0, scan.why);
    } else if (scan.end == ScanEnd::torn) {
      report_.torn_tail = TornTail{name, 0, scan.whole_after_tear, scan.why};
    }
    return {};
  }

  void check_record(const std::string& segment, const Frame& frame) {
    if (!report_.intact()) {
      return;
    }
    auto record = decoder_.decode(frame.body);
    if (!record) {
      report_.bad = FirstBad{segment, frame.sequence, frame.offset, record.error().message};
      return;
    }
    if (record->phase == Phase::intent) {
      open_intents_.insert(frame.sequence);
    } else {
      open_intents_.erase(record->intent_sequence);
    }
    report_.last_unix_ms = frame.unix_ms;
    if (report_.records++ == 0) {
      report_.first_unix_ms = frame.unix_ms;
    }
    last_record_hash_ = frame.hash;
  }

  void set_bad(std::string segment, std::uint64_t offset, std::string why) {
    if (report_.intact()) {
      report_.bad = FirstBad{std::move(segment), chain_.next_sequence, offset, std::move(why)};
    }
  }

  const std::filesystem::path directory_;
  VerifyReport report_;
  ChainState chain_;
  crypto::Digest last_record_hash_{};
  RecordDecoder decoder_;
  std::unordered_set<std::uint64_t> open_intents_;
  std::string buffer_;
};

}  // namespace

Result<VerifyReport> verify(const std::filesystem::path& directory,
                            const VerifyProgress& progress) {
  return Verifier(directory).run(progress);
}

std::string describe(const VerifyReport& report) {
  std::string text;
  if (report.unfinished > 0) {
    text += fmt::format("{} calls have no result yet (running now, or cut by a crash): {}{}\n",
                        report.unfinished, fmt::join(report.unfinished_first, ", "),
                        report.unfinished > report.unfinished_first.size() ? ", ..." : "");
  }
  if (report.torn_tail) {
    const TornTail& torn = *report.torn_tail;
    text += fmt::format("{}: torn tail at offset {}: {}", torn.segment, torn.offset, torn.why);
    if (torn.whole_records > 0) {
      text += fmt::format("; {} whole records of the same commit behind it", torn.whole_records);
    }
    text += "; the next start cuts it off\n";
  }
  if (report.bad) {
    const FirstBad& bad = *report.bad;
    text += fmt::format("{} records before it are good\n", report.records);
    text += bad.segment.empty() ? fmt::format("audit log NOT intact: {}", bad.why)
                                : fmt::format("audit log NOT intact: {}, record {}, offset {}: {}",
                                              bad.segment, bad.sequence, bad.offset, bad.why);
    return text;
  }
  if (report.records == 0) {
    return text + "audit log intact: no records yet";
  }
  text += fmt::format("audit log intact: {} segments, {} records, {} to {}, last hash {}",
                      report.segments, report.records, format_time(report.first_unix_ms),
                      format_time(report.last_unix_ms), report.last_hash_hex);
  return text;
}

}  // namespace deepmoat::audit
