// Numbers and texts in stored bytes: big-endian, a length before every text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deepmoat::crypto {

template <class Number>
void put_number(std::string& bytes, Number value) {
  for (int shift = 8 * (static_cast<int>(sizeof(Number)) - 1); shift >= 0; shift -= 8) {
    bytes += static_cast<char>(static_cast<std::uint64_t>(value) >> shift);
  }
}

// With a length of 4 bytes, so that two lists of texts never give the same bytes.
inline void put_text(std::string& bytes, std::string_view text) {
  put_number(bytes, static_cast<std::uint32_t>(text.size()));
  bytes += text;
}

// Takes pieces from the front; nothing once the bytes are too short.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <class Number>
  std::optional<Number> number() {
    const auto bytes = take(sizeof(Number));
    if (!bytes) {
      return std::nullopt;
    }
    std::uint64_t value = 0;
    for (const char byte : *bytes) {
      value = value << 8 | static_cast<unsigned char>(byte);
    }
    return static_cast<Number>(value);
  }

  std::optional<std::string_view> take(std::size_t count) {
    if (rest_.size() < count) {
      rest_ = {};
      return std::nullopt;
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  // A text of at most `bytes_max` bytes.
  std::optional<std::string_view> text(std::size_t bytes_max) {
    const auto size = number<std::uint32_t>();
    return size && *size <= bytes_max ? take(*size) : std::nullopt;
  }

  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace deepmoat::crypto
