// Choice of the CPU variant and loading of ggml's backends. Call from one thread, before any model.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace deepmoat::engine {

// A build of ggml's CPU kernels for one family of processors: libggml-cpu-NAME.so.
struct CpuVariant {
  std::string name;  // e.g. "icelake"
  std::filesystem::path file;
  int score = 0;  // higher uses more of the processor; 0: does not run here
};

// The folder that was built in.
[[nodiscard]] std::filesystem::path default_engine_dir();

// All variants in `dir`, best first. A score says what CPUID promises, which is not always what
// the machine does: a loaded variant must still be tested (Model::self_test).
[[nodiscard]] Result<std::vector<CpuVariant>> rank_cpu_variants(const std::filesystem::path& dir);

// Loads the accelerator backends of `dir`, then exactly this CPU variant. Once a process.
[[nodiscard]] Result<> load_backends(const std::filesystem::path& dir, const CpuVariant& variant);

// Names of the accelerators that the loaded backends found; empty: CPU alone.
[[nodiscard]] std::vector<std::string> accelerators();

}  // namespace deepmoat::engine
