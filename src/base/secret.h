// Secret bytes: move-only, wiped on destruction, with no way to print them by accident.
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

  [[nodiscard]] std::string_view reveal() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

 private:
  std::string bytes_;
};

}  // namespace deepmoat
