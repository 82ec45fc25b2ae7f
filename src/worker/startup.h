// From the command line to the decode loop.
#pragma once

#include <string_view>

#include "engine/backends.h"
#include "worker/options.h"

namespace deepmoat::worker {

// Runs the program again, with --settled and the environment that OpenMP and ggml read before
// main(). Returns only when that cannot be done.
void settle_environment(int argc, char** argv);

// The best CPU variant that --cpu-variant and --cpu-variant-avoid leave.
[[nodiscard]] Result<engine::CpuVariant> choose_variant(const Options& options);

// From now on SIGILL ends the process with kExitIllegal and one line that names `variant`.
void report_illegal_instructions(std::string_view variant);

// What the KV memory may take when no number of cells was asked for.
[[nodiscard]] std::uint64_t memory_for_cells();

// Loads and serves. Returns the exit status.
[[nodiscard]] int serve(const Options& options);

}  // namespace deepmoat::worker
