// Random bytes from the kernel (getrandom(2)). There is no fallback: without entropy no key is
// made.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"

namespace deepmoat {

// Fills `out`, or Code::unavailable when the kernel refuses.
[[nodiscard]] Result<> fill_random(std::span<std::byte> out);

// `count` random bytes.
[[nodiscard]] Result<std::string> random_bytes(std::size_t count);

}  // namespace deepmoat
