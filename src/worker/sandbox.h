// Takes away from this process all that a model file could misuse: after enter_sandbox() it can
// read the model, compute, and talk over descriptors that are open already.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace deepmoat::worker {

struct SandboxOptions {
  std::vector<std::filesystem::path> readable;  // files that may still be opened, for reading
  std::vector<std::filesystem::path> writable;  // files, there already, that may be overwritten
  bool accelerators = false;  // their drivers need devices: /dev, /proc, /sys and more system calls
};

// Landlock (files, TCP, signals and sockets outside, as far as the kernel knows them), no new
// privileges, no core dumps, not traceable, and a seccomp list of allowed system calls; all others
// fail with EPERM. For the whole process, so call it before starting threads. Cannot be undone.
// Returns what is in force, e.g. "landlock(7)+seccomp". Code::unavailable when the kernel has no
// seccomp; a kernel without Landlock is told in the text ("seccomp").
[[nodiscard]] Result<std::string> enter_sandbox(const SandboxOptions& options);

// Landlock's ABI version of this kernel; 0: none.
[[nodiscard]] int landlock_abi();

// The model's file, or all files of a model in parts (NAME-00001-of-00003.gguf).
[[nodiscard]] std::vector<std::filesystem::path> model_parts(const std::filesystem::path& model);

}  // namespace deepmoat::worker
