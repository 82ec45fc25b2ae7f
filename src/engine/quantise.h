// Makes a model file with other weights: llama.cpp's quantiser in this process. Needs no backend.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace deepmoat::engine {

struct QuantiseOptions {
  std::filesystem::path source;
  std::filesystem::path target;  // written as one file, also when the source has several parts
  std::string type;              // one of quantisations(), or "copy": the weights as they are
  bool from_quantised = false;   // else only from F32, F16 and BF16
  std::uint32_t threads = 1;
  std::function<void(float)> progress;  // 0 to 1, on the calling thread
};

// Blocking. Code::invalid_argument for an unknown type or a source that cannot be quantised.
// llama.cpp may also end the process on a crafted file: run it inside the sandbox.
[[nodiscard]] Result<> quantise(const QuantiseOptions& options);

// "Q4_0", "Q8_0", "Q4_K_M", ...
[[nodiscard]] const std::vector<std::string>& quantisations();

}  // namespace deepmoat::engine
