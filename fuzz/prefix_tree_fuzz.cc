// links: deepmoat_scheduler deepmoat_base
// The scheduler's prefix tree: any run of operations leaves it sound and gives what the slow way
// gives. The bytes are operations (src/scheduler/naive_prefixes.h).
#include <cstddef>
#include <cstdint>

#include "scheduler/naive_prefixes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 2000) {
    return 0;
  }
  if (!deepmoat::scheduler::PrefixComparison().run({data, size}).empty()) {
    __builtin_trap();
  }
  return 0;
}
