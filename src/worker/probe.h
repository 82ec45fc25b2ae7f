// `deepmoat-worker --probe`: tries each CPU variant in a process of its own.
#pragma once

#include "worker/options.h"

namespace deepmoat::worker {

// Prints {"cpu_variant": best working or null, "variants": [{"name", "score", "result"}]} on
// standard output; result is works, illegal_instruction, failed or unsupported. Variants after the
// first that works are "not_tried". Returns the exit status.
[[nodiscard]] int probe(const Options& options);

}  // namespace deepmoat::worker
