// The scan of a log. The caller's thread, and one more for each tree.
#include "verifier/log.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "verifier/base64.h"
#include "verifier/body.h"
#include "verifier/bytes.h"
#include "verifier/checkpoints.h"
#include "verifier/file.h"
#include "verifier/open_intents.h"
#include "verifier/segment.h"
#include "verifier/tree_scan.h"

namespace deepmoat::verifier {

namespace {

constexpr std::size_t kUnfinishedShown = 20;

// Returns nullptr when the header in `bytes` is the one that this file must have behind `before`.
const char* check_header(const SegmentFile& segment, std::string_view bytes, const Chain& before,
                         Header& header) {
  if (const char* why = parse_header(bytes, header); why != nullptr) {
    return why;
  }
  if (header.number != segment.number) {
    return "the segment's number is not its file name's";
  }
  if (!segment.kept && header.segment_bytes != segment.file.bytes()) {
    return "the file's length is not the one in its header";
  }
  if (header.first_sequence != before.next_sequence || header.previous_hash != before.last_hash) {
    return "the segment does not continue the one before it";
  }
  return nullptr;
}

// SM3 is four times as slow as SHA-256, so each tree has its own thread.
struct Trees {
  TreeScan sha256;
  std::optional<TreeScan> sm3;
};

class LogScan {
 public:
  LogScan(const std::filesystem::path& folder, Trees& trees, const LogOptions& options,
          LogReport& report)
      : folder_(folder), options_(options), report_(report) {
    feeds_.push_back(std::make_unique<LeafFeed>(trees.sha256, !options.one_thread));
    if (trees.sm3) {
      feeds_.push_back(std::make_unique<LeafFeed>(*trees.sm3, !options.one_thread));
    }
  }

  Result<> run() {
    if (auto walked = walk(); !walked) {
      if (walked.error().fault != Fault::malformed) {
        return walked;
      }
      // A file that is missing or no segment: the message names it.
      set_bad("", 0, walked.error().message);
    }
    wait_for_trees();
    report_.last_hash_hex = to_hex(view(last_record_hash_));
    report_.unfinished = open_intents_.count();
    report_.unfinished_first = open_intents_.first(kUnfinishedShown);
    return {};
  }

 private:
  Result<> walk() {
    const auto count = count_segments(folder_);
    if (!count) {
      return std::unexpected(count.error());
    }
    for (std::uint64_t number = 1; number <= *count && !report_.bad; ++number) {
      auto sealed = check_one(number, *count);
      if (!sealed) {
        return std::unexpected(std::move(sealed).error());
      }
      if (!*sealed) {
        return check_behind(number, *count);
      }
    }
    return {};
  }

  // Says whether the next segment has its header, so that nothing is added to this one.
  Result<bool> check_one(std::uint64_t number, std::uint64_t count) {
    const auto segment = SegmentFile::open(folder_, number);
    if (!segment) {
      return std::unexpected(segment.error());
    }
    // Before the scan. What retention has been at is complete, whatever was there at our start.
    auto sealed = number < count || segment->kept ? has_header(number + 1) : Result<bool>(false);
    if (!sealed && sealed.error().fault == Fault::not_there && number >= count) {
      sealed = false;
    }
    if (!sealed) {
      return sealed;
    }
    if (auto done = load(*segment); !done) {
      return std::unexpected(std::move(done).error());
    }
    auto checked =
        segment->kept ? check_kept(*segment, *sealed) : check_segment(*segment, *sealed, count);
    if (!checked) {
      return std::unexpected(std::move(checked).error());
    }
    if (options_.progress) {
      options_.progress(number * segment->file.bytes(), count * segment->file.bytes());
    }
    return sealed;
  }

  // What may stand behind the last segment with a header: one blank or torn file.
  Result<> check_behind(std::uint64_t number, std::uint64_t count) {
    if (number + 1 < count) {
      set_bad(segment_name(number + 1), 0, "no valid header, yet segments follow");
    } else if (number + 1 == count && !report_.bad) {
      return check_spare(count);
    }
    return {};
  }

  Result<bool> has_header(std::uint64_t number) {
    const auto segment = SegmentFile::open(folder_, number);
    if (!segment) {
      return std::unexpected(segment.error());
    }
    const auto head = segment->file.read(0, kHeaderBytes);
    if (!head) {
      return std::unexpected(head.error());
    }
    Header header;
    return parse_header(*head, header) == nullptr;
  }

  void wait_for_trees() {
    for (const auto& feed : feeds_) {
      feed->finish_all();
    }
  }

  Result<> load(const SegmentFile& segment, std::uint64_t offset = 0) {
    wait_for_trees();  // their leaves lie in the buffer
    return segment.load(buffer_, offset);
  }

  Result<> check_segment(const SegmentFile& segment, bool sealed, std::uint64_t count) {
    Header header;
    if (parse_header(buffer_, header) != nullptr) {
      const auto begun_meanwhile = has_header(segment.number);
      if (!begun_meanwhile) {
        return std::unexpected(begun_meanwhile.error());
      }
      if (*begun_meanwhile) {
        if (auto done = load(segment); !done) {
          return done;
        }
      }
    }
    if (const char* why = check_header(segment, buffer_, chain_, header); why != nullptr) {
      judge_headless(segment, count, why);
      return {};
    }
    ++report_.segments;
    chain_.last_hash = header.hash;
    return scan(segment, sealed);
  }

  // Without its header, only the one file of a log that has not begun may be.
  void judge_headless(const SegmentFile& segment, std::uint64_t count, const char* why) {
    const Tail tail = judge_tail(buffer_, 0, chain_.next_sequence, why);
    Header header;
    const bool blank = segment.number == 1 && count == 1 && tail.end != TailEnd::tampered &&
                       parse_header(buffer_, header) != nullptr;
    if (!blank) {
      set_bad(segment.name(), 0, tail.end == TailEnd::tampered ? tail.why : why);
    } else if (tail.end == TailEnd::torn) {
      report_.torn_tail = TornTail{segment.name(), 0, tail.whole_records, tail.why};
    }
  }

  Result<> scan(const SegmentFile& segment, bool sealed) {
    Tail tail = scan_frames(segment, kHeaderBytes);
    while (!sealed && tail.end != TailEnd::clean && !report_.bad) {
      // A server may have been writing here while we read. If the bytes at the tear are still the
      // same after all that follows was read, then nothing that follows can be a later commit's.
      const auto again = segment.file.read(tail.offset, kFrameBytesMax);
      if (!again) {
        return std::unexpected(again.error());
      }
      if (std::string_view(buffer_).substr(tail.offset, again->size()) == *again) {
        break;
      }
      if (auto done = load(segment, tail.offset); !done) {
        return done;
      }
      tail = scan_frames(segment, tail.offset);
    }
    if (tail.end == TailEnd::tampered || (tail.end == TailEnd::torn && sealed)) {
      set_bad(segment.name(), tail.offset, tail.why);
    } else if (tail.end == TailEnd::torn) {
      report_.torn_tail = TornTail{segment.name(), tail.offset, tail.whole_records, tail.why};
    }
    return {};
  }

  Tail scan_frames(const SegmentFile& segment, std::uint64_t offset) {
    Frame frame;
    Tail tail;
    while (next_frame(buffer_, offset, chain_, frame, tail)) {
      if (!take_frame(segment, frame)) {
        return {.offset = offset};
      }
      offset += frame.bytes();
    }
    return tail;
  }

  // The file behind the last segment with a header: zeros, or torn in its first commit.
  Result<> check_spare(std::uint64_t number) {
    const auto segment = SegmentFile::open(folder_, number);
    if (!segment) {
      return std::unexpected(segment.error());
    }
    if (auto done = load(*segment); !done) {
      return done;
    }
    const auto begun_meanwhile = has_header(number);
    if (!begun_meanwhile) {
      return std::unexpected(begun_meanwhile.error());
    }
    if (*begun_meanwhile) {
      return {};  // a server has gone on; our look at the log ends before that
    }
    Header header;
    const char* why = parse_header(buffer_, header);
    const Tail tail = judge_tail(buffer_, 0, chain_.next_sequence, why == nullptr ? "" : why);
    if (tail.end == TailEnd::tampered || (tail.end == TailEnd::torn && report_.torn_tail)) {
      set_bad(segment->name(), 0, tail.why);
    } else if (tail.end == TailEnd::torn) {
      report_.torn_tail = TornTail{segment->name(), 0, tail.whole_records, tail.why};
    }
    return {};
  }

  // A `.kept` is complete, so there is nothing to forgive.
  Result<> check_kept(const SegmentFile& segment, bool sealed) {
    Header header;
    if (const char* why = check_header(segment, buffer_, chain_, header); why != nullptr) {
      set_bad(segment.name(), 0, why);
      return {};
    }
    ++report_.segments;
    chain_.last_hash = header.hash;
    std::uint64_t offset = kHeaderBytes;
    KeptPart part = kept_part_at(buffer_, offset);
    for (; part != KeptPart::end; part = kept_part_at(buffer_, offset)) {
      if (!take_kept_part(segment, part, offset)) {
        return {};
      }
    }
    const std::uint64_t records = chain_.next_sequence - header.first_sequence;
    if (const char* why = check_kept_end(buffer_, offset, records); why != nullptr) {
      set_bad(segment.name(), offset, why);
    } else if (!sealed) {
      set_bad(segment.name(), offset, "bodies were deleted, yet no segment with a header follows");
    }
    return {};
  }

  bool take_kept_part(const SegmentFile& segment, KeptPart part, std::uint64_t& offset) {
    if (part == KeptPart::stub) {
      Stub stub;
      const char* why = parse_stub(buffer_, offset, stub);
      if (why == nullptr && stub.sequence != chain_.next_sequence) {
        why = "the stub of another record stands here";
      }
      if (why != nullptr) {
        set_bad(segment.name(), offset, why);
        return false;
      }
      ++report_.stubs;
      take_record({.at = buffer_.data() + offset, .bytes = 0}, stub.unix_ms, stub.frame_hash);
      offset += kStubBytes;
      return true;
    }
    Frame frame;
    const char* why = parse_frame(buffer_, offset, frame);
    if (why == nullptr && frame.sequence != chain_.next_sequence) {
      why = "another record stands here";
    } else if (why == nullptr && frame.previous_hash != chain_.last_hash) {
      why = "the record does not chain to the one before it";
    }
    if (why != nullptr) {
      set_bad(segment.name(), offset, why);
      return false;
    }
    offset += frame.bytes();
    return take_frame(segment, frame);
  }

  // Of a frame that is the chain's next one.
  bool take_frame(const SegmentFile& segment, const Frame& frame) {
    BodyFacts facts;
    if (const char* why = read_body(frame.body(), frame.version, facts); why != nullptr) {
      set_bad(segment.name(), frame.offset, why);
      return false;
    }
    if (facts.intent) {
      open_intents_.begin(frame.sequence);
    } else {
      open_intents_.end(facts.intent_sequence);
    }
    take_record(
        {.at = frame.leaf_data.data(), .bytes = static_cast<std::uint32_t>(frame.leaf_data.size())},
        frame.unix_ms, frame.hash);
    return true;
  }

  void take_record(const Leaf& leaf, std::int64_t unix_ms, const Digest& hash) {
    for (const auto& feed : feeds_) {
      feed->add(leaf);
    }
    report_.last_unix_ms = unix_ms;
    if (report_.records++ == 0) {
      report_.first_unix_ms = unix_ms;
    }
    last_record_hash_ = hash;
    chain_.last_hash = hash;
    ++chain_.next_sequence;
  }

  void set_bad(std::string segment, std::uint64_t offset, std::string why) {
    if (!report_.bad) {
      report_.bad = FirstBad{std::move(segment), chain_.next_sequence, offset, std::move(why)};
    }
  }

  const std::filesystem::path& folder_;
  const LogOptions& options_;
  LogReport& report_;
  Chain chain_;
  Digest last_record_hash_{};
  OpenIntents open_intents_;
  std::string buffer_;
  std::vector<std::unique_ptr<LeafFeed>> feeds_;  // the last member: their threads read the buffer
};

void report_trees(const Trees& trees, LogReport& report) {
  report.tree_size = trees.sha256.size();
  report.root = to_base64(view(trees.sha256.root()));
  if (trees.sha256.tiles() != nullptr) {
    report.tiles = trees.sha256.tiles()->report();
  }
  if (!trees.sm3) {
    return;
  }
  report.sm3_lost_at = trees.sm3->lost_at();
  if (report.sm3_lost_at == 0) {
    report.sm3_root = to_base64(view(trees.sm3->root()));
  }
  if (trees.sm3->tiles() != nullptr) {
    report.sm3_tiles = trees.sm3->tiles()->report();
  }
}

// The trees that are to be computed: what the checkpoints and the caller want of them.
Trees make_trees(const std::filesystem::path& folder, const LogOptions& options,
                 const std::vector<HeldCheckpoint>& held) {
  std::vector<std::uint64_t> sizes;
  std::uint64_t newest_size = 0;
  std::error_code ignored;
  const bool sm3_tiles = std::filesystem::exists(folder / "tile-sm3", ignored);
  bool with_sm3 = options.sm3 || sm3_tiles;
  for (const HeldCheckpoint& checkpoint : held) {
    if (checkpoint.content) {
      sizes.push_back(checkpoint.content->size);
      with_sm3 = with_sm3 || checkpoint.content->sm3_root.has_value();
      // Not the size that a forged `checkpoint` names: then the newest of the earlier ones counts.
      if (checkpoint.report.place != CheckpointPlace::given &&
          checkpoint.report.signature != SignatureState::forged) {
        newest_size = std::max(newest_size, checkpoint.content->size);
      }
    }
  }
  Trees trees{.sha256 = TreeScan(Algorithm::sha256, sizes), .sm3 = std::nullopt};
  if (with_sm3) {
    trees.sm3.emplace(Algorithm::sm3, sizes);
  }
  if (options.tiles) {
    trees.sha256.check_tiles(
        std::make_unique<TileCheck>(folder, "tile", Algorithm::sha256, newest_size));
  }
  if (options.tiles && sm3_tiles) {
    trees.sm3->check_tiles(
        std::make_unique<TileCheck>(folder, "tile-sm3", Algorithm::sm3, newest_size));
  }
  return trees;
}

}  // namespace

Result<LogReport> verify_log(const std::filesystem::path& folder, const LogOptions& options) {
  auto held = hold_checkpoints(folder, options);
  if (!held) {
    return std::unexpected(std::move(held).error());
  }
  Trees trees = make_trees(folder, options, *held);
  LogReport report;
  report.keys_given = !options.keys.empty();
  if (auto done = LogScan(folder, trees, options, report).run(); !done) {
    return std::unexpected(std::move(done).error());
  }
  report_trees(trees, report);
  for (HeldCheckpoint& checkpoint : *held) {
    compare_roots(checkpoint, trees.sha256, trees.sm3 ? &*trees.sm3 : nullptr,
                  report.bad.has_value());
    report.checkpoints.push_back(std::move(checkpoint.report));
  }
  return report;
}

}  // namespace deepmoat::verifier
