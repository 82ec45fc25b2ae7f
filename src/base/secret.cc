#include "base/secret.h"

#include <string.h>  // explicit_bzero

#include <utility>

#include "base/locked_memory.h"

namespace deepmoat {

void wipe(std::span<std::byte> bytes) noexcept {
  explicit_bzero(bytes.data(), bytes.size());
}

namespace {
// A moved-from std::string may keep its short buffer, so the source is wiped by hand.
void wipe_string(std::string& text) noexcept {
  if (!text.empty()) {
    wipe(std::as_writable_bytes(std::span(text.data(), text.size())));
  }
  text.clear();
}
}  // namespace

Secret::Secret(std::string_view bytes, int) noexcept {
  if (!bytes.empty()) {
    data_ = allocate_locked(bytes.size());
    size_ = bytes.size();
    memcpy(data_, bytes.data(), size_);
  }
}

Secret::Secret(std::string&& bytes) noexcept : Secret(std::string_view(bytes), 0) {
  wipe_string(bytes);
}

Secret Secret::copy_of(std::string_view bytes) {
  return Secret(bytes, 0);
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    free_locked(data_, size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Secret::~Secret() {
  free_locked(data_, size_);
}

}  // namespace deepmoat
