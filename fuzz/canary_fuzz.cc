// links:
// Must fail: a fuzzing set-up that never finds anything looks like one where nothing is wrong.
// Its corpus holds an input that does not trap, one change away from one that does.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= 2 && data[0] == 'D' && data[1] != 'M') {
    std::abort();
  }
  return 0;
}
