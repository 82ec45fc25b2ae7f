// The worker's command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/adapter_file.h"

namespace deepmoat::worker {

// Exit statuses that the supervisor acts on.
inline constexpr int kExitDone = 0;      // drained, or the gateway is gone
inline constexpr int kExitFailed = 1;    // could not start, or broke; a `fatal` frame says why
inline constexpr int kExitUsage = 2;     // wrong flags
inline constexpr int kExitIllegal = 86;  // illegal instruction: avoid this CPU variant

struct Options {
  int fd = -1;
  std::filesystem::path model;
  std::filesystem::path engine_dir;
  std::string cpu_variant = "auto";
  std::vector<std::string> cpu_variant_avoid;
  std::uint32_t threads = 0;  // 0: one a core that this process may use
  std::uint32_t cells = 0;    // 0: by memory
  std::uint32_t max_batch_size = 128;
  std::uint32_t step_tokens = 512;
  std::uint32_t step_ms = 250;        // what a step should take while answers run; 0: no limit
  bool split_memory = false;          // a KV memory of its own for each sequence
  std::string layout = "auto";        // auto, unified, or streams, which is split_memory
  std::string task = "auto";          // auto, generate, embed or rerank
  std::string pooling;                // none, mean, cls, last or rank; empty: the model's own
  std::vector<AdapterFile> adapters;  // --adapter
  std::vector<std::filesystem::path> public_prefixes;  // files with system messages
  std::optional<std::uint64_t> spill_mib;  // host memory for saved states; none: by what is free
  std::string sliding_window = "auto";     // auto, full or checkpoints
  std::uint32_t queue_max = 0;             // calls that wait; 0: limits.h
  std::uint32_t tenant_queue_max = 0;      // of one tenant; 0: as queue_max
  bool sandbox = true;
  bool probe = false;
  bool self_test = false;  // of --probe: load, test, exit
  bool settled = false;    // started by itself with the right environment
};

// `early` holds what to print and the exit status when there is nothing to run (--help, errors).
struct Parsed {
  Options options;
  struct Early {
    std::string text;
    int status = kExitDone;
  };
  std::optional<Early> early;
};
[[nodiscard]] Parsed parse_options(int argc, const char* const* argv);

}  // namespace deepmoat::worker
