// Blocks of powers of two in chunks of pages; what is larger has pages of its own. Chunks are never
// given back: secrets come and go, and their pages stay few.
#include "base/locked_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/secret.h"

namespace deepmoat {

namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kChunkBytes = 4 * kPageBytes;
constexpr std::size_t kSmallestLog2 = 5;  // 32 bytes: most secrets
constexpr std::size_t kLargestLog2 = 12;
constexpr std::size_t kClasses = kLargestLog2 - kSmallestLog2 + 1;

std::atomic<std::size_t> unlocked_bytes = 0;

char* map_pages(std::size_t bytes) noexcept {
  void* const pages =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    std::abort();
  }
  ::madvise(pages, bytes, MADV_DONTDUMP);
  if (::mlock(pages, bytes) != 0) {
    unlocked_bytes += bytes;
  }
  return static_cast<char*>(pages);
}

std::size_t whole_pages(std::size_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

bool is_large(std::size_t bytes) {
  return bytes > (std::size_t{1} << kLargestLog2);
}

class Blocks {
 public:
  char* take(std::size_t bytes) noexcept {
    const std::size_t log2 = class_of(bytes);
    const std::lock_guard lock(mutex_);
    std::vector<char*>& free = free_[log2 - kSmallestLog2];
    if (free.empty()) {
      add_chunk(free, log2);
    }
    char* const block = free.back();
    free.pop_back();
    return block;
  }

  void give_back(char* block, std::size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    free_[class_of(bytes) - kSmallestLog2].push_back(block);  // add_chunk() made room for it
  }

 private:
  static std::size_t class_of(std::size_t bytes) {
    return std::max<std::size_t>(std::bit_width(bytes - 1), kSmallestLog2);
  }

  void add_chunk(std::vector<char*>& free, std::size_t log2) noexcept {
    std::size_t& blocks = blocks_[log2 - kSmallestLog2];
    const std::size_t more = kChunkBytes >> log2;
    blocks += more;
    free.reserve(blocks);
    char* const chunk = map_pages(kChunkBytes);
    for (std::size_t i = 0; i < more; ++i) {
      free.push_back(chunk + (i << log2));
    }
  }

  std::mutex mutex_;
  // Beside the blocks and not inside them: a freed block holds nothing but zeros.
  std::array<std::vector<char*>, kClasses> free_;
  std::array<std::size_t, kClasses> blocks_{};
};

// Never destroyed: secrets in static objects may be freed after everything else.
Blocks& blocks() noexcept {
  static Blocks* const all = std::make_unique<Blocks>().release();
  return *all;
}

}  // namespace

char* allocate_locked(std::size_t bytes) noexcept {
  return is_large(bytes) ? map_pages(whole_pages(bytes))
                         : blocks().take(std::max<std::size_t>(bytes, 1));
}

void free_locked(char* memory, std::size_t bytes) noexcept {
  if (memory == nullptr) {
    return;
  }
  wipe(std::as_writable_bytes(std::span(memory, bytes)));
  if (is_large(bytes)) {
    ::munmap(memory, whole_pages(bytes));
    return;
  }
  blocks().give_back(memory, std::max<std::size_t>(bytes, 1));
}

std::size_t unlocked_secret_bytes() noexcept {
  return unlocked_bytes;
}

}  // namespace deepmoat
