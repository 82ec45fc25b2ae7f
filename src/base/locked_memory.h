// Memory for secrets: pages that are kept out of swap (mlock) and out of core files
// (MADV_DONTDUMP). Where the limit of locked memory does not allow the first, the second still
// holds.
#pragma once

#include <cstddef>

namespace deepmoat {

// Never null: without memory the program ends, as it does for std::string in a noexcept place.
// Zeroed. Thread-safe.
[[nodiscard]] char* allocate_locked(std::size_t bytes) noexcept;

// Wipes. `bytes` as it was asked for.
void free_locked(char* memory, std::size_t bytes) noexcept;

// Bytes of such pages that the system refused to lock so far; for a warning at the start.
[[nodiscard]] std::size_t unlocked_secret_bytes() noexcept;

}  // namespace deepmoat
