// Finds API keys that lie in the open: in bytes of any kind, by prefix and checksum. Pure.
//
// A key is found wherever it stands, also in the middle of a word, in binary data, and in UTF-16
// (what PowerShell writes). It is not found in what is compressed, encrypted or encoded otherwise
// (gzip, base64): unpack that first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "identity/api_key.h"

namespace deepmoat::identity {

struct KeySighting {
  std::uint64_t offset = 0;  // of its first byte, from the start of the stream
  std::uint64_t line = 0;    // 1 for the first line
  std::string_view key;      // the whole, in ASCII; lives during the call only
  KeyKind kind = KeyKind::live;
};

using OnSighting = std::function<void(const KeySighting&)>;

// One stream that comes in pieces of any size; a key cut by the end of a piece is found. Memory:
// the length of two keys. One thread.
class KeyScanner {
 public:
  // Every key that ends in this piece, in the order of their ends.
  void feed(std::string_view piece, const OnSighting& found);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  void scan(std::string_view window, std::size_t new_from, const OnSighting& found);

  std::string tail_;         // the last bytes before the next piece
  std::uint64_t bytes_ = 0;  // of all pieces
  std::uint64_t lines_ = 0;  // line ends in all pieces
  std::uint64_t after_ = 0;  // offset behind the last key found
};

// For people: the first 12 and the last 4 characters, which tell one key from another and give
// nothing that opens anything.
[[nodiscard]] std::string masked_key(std::string_view key);

}  // namespace deepmoat::identity
