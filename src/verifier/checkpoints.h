// The checkpoints that a log is held against: its own, and those that the caller has.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "verifier/log.h"
#include "verifier/note.h"
#include "verifier/tree_scan.h"

namespace deepmoat::verifier {

struct HeldCheckpoint {
  CheckpointReport report;
  std::optional<Checkpoint> content;  // nothing: malformed
};

// The names of the files in the log's `checkpoints`: sizes in 20 digits, in order. None without
// that folder. Fault::unreadable.
[[nodiscard]] Result<std::vector<std::string>> earlier_checkpoints(
    const std::filesystem::path& folder);

// Reads them all and checks their signatures. To be called before the log is read: all records of
// a checkpoint are then on the disk. Fault::unreadable.
[[nodiscard]] Result<std::vector<HeldCheckpoint>> hold_checkpoints(
    const std::filesystem::path& folder, const LogOptions& options);

// Compares its roots with those of the records, of which no more are good. `sm3` may be null.
void compare_roots(HeldCheckpoint& held, const TreeScan& tree, const TreeScan* sm3,
                   bool log_is_bad);

}  // namespace deepmoat::verifier
