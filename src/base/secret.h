// Secret bytes: move-only, in pages that are neither swapped nor dumped (locked_memory.h), wiped on
// destruction, with no way to print them by accident.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace deepmoat {

// Overwrites memory in a way that the compiler may not remove.
void wipe(std::span<std::byte> bytes) noexcept;

// Owns secret bytes. There is no operator<<, no fmt formatter, no comparison: `reveal()` is the
// one door, and reviewers grep for it. Compare through crypto/constant_time.h.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string&& bytes) noexcept;
  // Copies, for bytes that somebody else wipes.
  static Secret copy_of(std::string_view bytes);

  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  [[nodiscard]] std::string_view reveal() const noexcept {
    return {data_ != nullptr ? data_ : "", size_};
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
  Secret(std::string_view bytes, int copies) noexcept;

  char* data_ = nullptr;  // null: empty
  std::size_t size_ = 0;
};

}  // namespace deepmoat
