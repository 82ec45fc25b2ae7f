// Deletes the text of records whose time is over, and keeps their hashes, so that the proofs of all
// others stay right (docs/formats/audit.md, "Deleted bodies").
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "audit/disk.h"
#include "audit/record_json.h"
#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::audit {

// For how long records keep their text.
struct RetentionPolicy {
  std::int64_t days = 190;            // network logs (Cybersecurity Law: six months at least)
  std::int64_t personal_days = 1096;  // sensitive or restricted data, and changes (PIPL: 3 years)
  std::int64_t medical_days = 2192;   // all records of `medical_tenants` (HIPAA: 6 years)
  std::vector<std::string> medical_tenants;

  // The longest of those that apply.
  [[nodiscard]] std::int64_t days_of(const Record& record) const;
};

// Under a legal hold nothing is deleted. Asked for each record that has expired.
using Held = std::function<bool(const Record&)>;
// A number that rises with each change of the holds, so that one which comes while a file is being
// written is heeded.
using HeldGeneration = std::function<std::uint64_t()>;

struct RetentionReport {
  std::uint64_t segments_read = 0;
  std::uint64_t segments_rewritten = 0;
  std::uint64_t removed = 0;  // records whose text is gone now
  std::uint64_t held = 0;     // that have expired, and are kept by a legal hold
  std::uint64_t bytes_freed = 0;
  UnixMillis until_ms = 0;  // what was taken for now
};

struct RetentionOptions {
  std::filesystem::path directory;
  UnixMillis now_ms = 0;
  // Segments in which nothing can have expired since then are not read; 0: all are.
  UnixMillis last_run_ms = 0;
  HeldGeneration held_generation = nullptr;  // none: the holds do not change meanwhile
  bool dry_run = false;                      // counts, and deletes nothing
  const std::atomic<bool>* stop = nullptr;   // ends after the segment that it is at
  Disk* disk = &system_disk();
};

// Goes through the segments that are complete, but the newest of them: what recovery reads stays as
// it is. Beside a running log of the same process, from one thread. Each segment is either as it
// was or done, whatever happens. `on_removed` gets the sequences, segment by segment, before their
// text goes and once more afterwards. Code::corrupt for a segment that does not check: nothing of
// it is touched. Code::io.
[[nodiscard]] Result<RetentionReport> delete_expired(
    const RetentionOptions& options, const RetentionPolicy& policy, const Held& held,
    const std::function<Result<>(const std::vector<std::uint64_t>&)>& on_removed);

}  // namespace deepmoat::audit
