#include "audit/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "audit/format.h"
#include "audit/segment.h"
#include "transparency/merkle.h"

namespace deepmoat::audit {

namespace {

using transparency::TreeHash;

struct SegmentSpan {
  std::uint64_t number = 0;
  UnixMillis begun_ms = 0;
  UnixMillis ended_ms = 0;  // when the next one was begun
  UnixMillis ready_ms = 0;  // when the one after that was: before, no run has touched it
};

// With the SM3 leaf hash even where there is no SM3 tree: it may begin later.
Stub stub_of(const Frame& frame) {
  return {.body_bytes = frame.body.size(),
          .sequence = frame.sequence,
          .unix_ms = frame.unix_ms,
          .leaf = transparency::leaf_hash(TreeHash::sha256, frame.leaf_data),
          .sm3_leaf = transparency::leaf_hash(TreeHash::sm3, frame.leaf_data),
          .hash = frame.hash};
}

class Retention {
 public:
  Retention(const RetentionOptions& options, const RetentionPolicy& policy, const Held& held)
      : options_(options), policy_(policy), held_(held), disk_(*options.disk) {
    report_.until_ms = options.now_ms;
  }

  Result<RetentionReport> run(
      const std::function<Result<>(const std::vector<std::uint64_t>&)>& on_removed) {
    TRY(const std::vector<SegmentSpan> spans, complete_segments());
    for (const SegmentSpan& span : spans) {
      if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
        break;
      }
      if (may_hold_newly_expired(span)) {
        CHECK_OK(treat(span.number, on_removed));
      }
    }
    return std::move(report_);
  }

 private:
  // Those behind which two others have begun.
  Result<std::vector<SegmentSpan>> complete_segments() {
    TRY(const std::uint64_t count, count_segments(options_.directory, disk_));
    std::vector<SegmentSpan> spans;
    for (std::uint64_t number = 1; number <= count; ++number) {
      TRY(const SegmentFile file, SegmentFile::open(options_.directory, number, disk_));
      TRY(const std::string head, file.read(0, kSegmentHeaderBytes));
      SegmentHeader header;
      if (parse_segment_header(head, header) != nullptr) {
        break;
      }
      if (!spans.empty()) {
        spans.back().ended_ms = header.created_unix_ms;
      }
      if (spans.size() > 1) {
        spans[spans.size() - 2].ready_ms = header.created_unix_ms;
      }
      spans.push_back({.number = number, .begun_ms = header.created_unix_ms});
    }
    spans.resize(spans.size() - std::min<std::size_t>(spans.size(), 2));
    return spans;
  }

  // Whether one of the policy's times ended, since the last run, for a record of this segment. A
  // clock that was set widens the span, whichever way.
  [[nodiscard]] bool may_hold_newly_expired(const SegmentSpan& span) const {
    const UnixMillis first = std::min(span.begun_ms, span.ended_ms);
    const UnixMillis last = std::max(span.begun_ms, span.ended_ms);
    return std::ranges::any_of(
        std::initializer_list<std::int64_t>{policy_.days, policy_.personal_days,
                                            policy_.medical_days},
        [&](std::int64_t days) {
          return first + (days * kDayMs) <= options_.now_ms &&
                 std::max(last + (days * kDayMs), span.ready_ms) >= options_.last_run_ms;
        });
  }

  [[nodiscard]] bool expired(const Frame& frame, const Record& record) const {
    return frame.unix_ms + (policy_.days_of(record) * kDayMs) <= options_.now_ms;
  }

  Result<> treat(std::uint64_t number,
                 const std::function<Result<>(const std::vector<std::uint64_t>&)>& on_removed) {
    TRY(const SegmentFile file, SegmentFile::open(options_.directory, number, disk_));
    std::string bytes;
    CHECK_OK(file.load(bytes));
    ++report_.segments_read;
    TRY(const Treated treated, rewrite_under_holds(file, bytes));
    if (treated.removed.empty()) {
      return file.kept() && !options_.dry_run ? remove_replaced(number) : Result<>();
    }
    report_.removed += treated.removed.size();
    ++report_.segments_rewritten;
    report_.bytes_freed += bytes.size() - std::min(bytes.size(), treated.kept.size());
    if (options_.dry_run) {
      return {};
    }
    CHECK_OK(on_removed(treated.removed));
    CHECK_OK(replace(number, treated.kept));
    return on_removed(treated.removed);  // what came in between from the old file
  }

  struct Treated {
    std::string kept;                    // the new file
    std::vector<std::uint64_t> removed;  // sequences
  };

  // Once more when a hold was placed or released meanwhile.
  Result<Treated> rewrite_under_holds(const SegmentFile& file, std::string_view bytes) {
    const auto generation = [this] {
      return options_.held_generation ? options_.held_generation() : 0;
    };
    const std::uint64_t held_before = report_.held;
    for (;;) {
      report_.held = held_before;
      const std::uint64_t before = generation();
      TRY(Treated treated, rewrite(file, bytes));
      if (generation() == before) {
        return treated;
      }
    }
  }

  // The file as it will be, made in memory.
  Result<Treated> rewrite(const SegmentFile& file, std::string_view bytes) {
    SegmentHeader header;
    if (const char* why = check_segment_header(file, bytes, nullptr, header); why != nullptr) {
      return corrupt(file, why);
    }
    Treated treated{.kept = std::string(bytes.substr(0, kSegmentHeaderBytes)), .removed = {}};
    ChainState chain{header.first_sequence, header.hash};
    std::optional<Error> failure;
    const auto take = [&](const KeptEntry& entry) {
      if (entry.is_stub) {
        append_stub(treated.kept, entry.stub);
      } else if (auto gone = to_remove(entry.frame); !gone) {
        failure = failure ? failure : std::move(gone).error();
      } else if (*gone) {
        append_stub(treated.kept, stub_of(entry.frame));
        treated.removed.push_back(entry.frame.sequence);
      } else {
        treated.kept += bytes.substr(entry.frame.offset, entry.frame.bytes);
      }
    };
    const char* why = nullptr;
    std::string scan_why;
    if (file.kept()) {
      why = scan_kept(bytes, chain, take);
    } else {
      const Scan scan = scan_frames(bytes, kSegmentHeaderBytes, chain, [&](const Frame& frame) {
        take({.frame = frame, .stub = {}});
      });
      scan_why = scan.why;
      why = scan.end == ScanEnd::clean ? nullptr : scan_why.c_str();
    }
    if (why != nullptr) {
      return corrupt(file, why);
    }
    if (failure) {
      return std::unexpected(*failure);
    }
    append_kept_end(treated.kept, chain.next_sequence - header.first_sequence);
    return treated;
  }

  Result<bool> to_remove(const Frame& frame) {
    TRY(const Record record, decoder_.decode(frame.body));
    if (!expired(frame, record)) {
      return false;
    }
    if (held_ && held_(record_at(record, frame.unix_ms))) {
      ++report_.held;
      return false;
    }
    return true;
  }

  static Record record_at(Record record, UnixMillis unix_ms) {
    record.unix_ms = unix_ms;
    return record;
  }

  // The new file is durable under its name before the old one goes.
  Result<> replace(std::uint64_t number, std::string_view bytes) {
    const std::filesystem::path path = options_.directory / kept_name(number);
    const std::filesystem::path unfinished = path.string() + ".new";
    TRY(const std::unique_ptr<DiskFile> file, disk_.create(unfinished, 0));
    Result<> written = file->write_at(bytes, 0);
    if (written) {
      written = file->sync();
    }
    if (!written) {
      (void)disk_.remove(unfinished);  // gives the space back; what counts is why it failed
      return written;
    }
    CHECK_OK(disk_.rename(unfinished, path));
    CHECK_OK(disk_.sync_folder(options_.directory));
    return remove_replaced(number);
  }

  // Its texts are those that were to go.
  Result<> remove_replaced(std::uint64_t number) {
    const std::filesystem::path replaced = options_.directory / segment_name(number);
    if (!disk_.exists(replaced)) {
      return {};
    }
    CHECK_OK(disk_.remove(replaced));
    return disk_.sync_folder(options_.directory);
  }

  static std::unexpected<Error> corrupt(const SegmentFile& file, std::string_view why) {
    return fail(Code::corrupt, fmt::format("audit log {}: {}; nothing of it is deleted; run "
                                           "`deepmoat audit verify`",
                                           file.path().string(), why));
  }

  const RetentionOptions& options_;
  const RetentionPolicy& policy_;
  const Held& held_;
  Disk& disk_;
  RecordDecoder decoder_;
  RetentionReport report_;
};

}  // namespace

std::int64_t RetentionPolicy::days_of(const Record& record) const {
  std::int64_t longest = days;
  const bool personal = record.data_class == "sensitive" || record.data_class == "restricted";
  const bool change = record.operation == Operation::write || record.operation == Operation::erase;
  if (personal || change) {
    longest = std::max(longest, personal_days);
  }
  if (std::ranges::find(medical_tenants, record.tenant) != medical_tenants.end()) {
    longest = std::max(longest, medical_days);
  }
  return longest;
}

Result<RetentionReport> delete_expired(
    const RetentionOptions& options, const RetentionPolicy& policy, const Held& held,
    const std::function<Result<>(const std::vector<std::uint64_t>&)>& on_removed) {
  return Retention(options, policy, held).run(on_removed);
}

}  // namespace deepmoat::audit
