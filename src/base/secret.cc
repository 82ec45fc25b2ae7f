#include "base/secret.h"

#include <string.h>  // explicit_bzero

#include <utility>

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

Secret::Secret(std::string&& bytes) noexcept : bytes_(bytes) {
  wipe_string(bytes);
}

Secret Secret::copy_of(std::string_view bytes) {
  return Secret(std::string(bytes));
}

Secret::Secret(Secret&& other) noexcept : bytes_(other.bytes_) {
  wipe_string(other.bytes_);
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe_string(bytes_);
    bytes_ = other.bytes_;
    wipe_string(other.bytes_);
  }
  return *this;
}

Secret::~Secret() {
  wipe_string(bytes_);
}

}  // namespace deepmoat
