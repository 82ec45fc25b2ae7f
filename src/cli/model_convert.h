// A folder of safetensors (as models are published) to one GGUF file, by llama.cpp's converter.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "cli/model_job.h"

namespace deepmoat::cli {

struct Converted {
  IncomingFile file;          // weights as the folder has them, or BF16
  std::string source_sha256;  // over the folder's files, in the order of their names
  std::string tool;           // "llama.cpp COMMIT converter"
};

// Needs Python and, the first time, a network: tools/convert.py says what it installs and how large
// that is before it does. Code::unavailable when it cannot run.
[[nodiscard]] Result<Converted> convert_folder(const std::filesystem::path& folder,
                                               const std::filesystem::path& models);

}  // namespace deepmoat::cli
