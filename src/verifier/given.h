// What a caller has from elsewhere and names on a command line: keys, and kept checkpoints.
#pragma once

#include <string>
#include <vector>

#include "verifier/log.h"
#include "verifier/note.h"
#include "verifier/result.h"

namespace deepmoat::verifier {

// `text` is a key itself, or a file with some: one a line, as `deepmoat audit key` prints them, or
// the JSON of GET /v1/audit/key. Errors name the file and say what is wanted. Any thread.
[[nodiscard]] Result<std::vector<VerifierKey>> read_keys(const std::string& text);

// The checkpoint in a file; who signed it is not asked. Errors as those of read_keys().
[[nodiscard]] Result<GivenCheckpoint> read_checkpoint(const std::string& path);

}  // namespace deepmoat::verifier
