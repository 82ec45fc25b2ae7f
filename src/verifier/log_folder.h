// Whether a folder is an audit log's at all. To a reader an empty one is a log without records, so
// whoever names the wrong folder would be told that all is well.
#pragma once

#include <filesystem>

#include "verifier/result.h"

namespace deepmoat::verifier {

// Whether there is a segment, or a file named like one, or a checkpoint. Fault::not_there without
// the folder, Fault::unreadable. Any thread.
[[nodiscard]] Result<bool> holds_log(const std::filesystem::path& folder);

// Fault::not_there unless it does; the message says which folder was meant.
[[nodiscard]] Result<> require_log(const std::filesystem::path& folder);

}  // namespace deepmoat::verifier
