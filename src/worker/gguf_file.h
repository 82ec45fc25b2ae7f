// The structure of a GGUF file (versions 2 and 3), read without trust: every length, count, type
// and offset is checked against the bytes that there are before it is used. Our own reader, so that
// llama.cpp, which has had overflows here (CVE-2024-23496, CVE-2025-49847), opens only what passed.
// Format: ggml/docs/gguf.md of llama.cpp. What the values mean is gguf_check.h's matter. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace deepmoat::worker {

// Numbers of the format.
enum class GgufType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
[[nodiscard]] std::string_view gguf_type_name(GgufType type);

// A value of the metadata; its bytes lie in the file's.
struct GgufValue {
  GgufType type = GgufType::u8;
  GgufType element = GgufType::u8;  // of an array
  std::uint64_t count = 1;          // of an array
  // Of a scalar its bytes, of a string its text, of an array of numbers all of them one after the
  // other, of an array of strings the lengths (u64) and texts as they lie in the file.
  std::string_view bytes;
};

// How a tensor's numbers are stored.
struct GgufStorage {
  std::uint32_t number = 0;  // ggml_type
  std::string_view name;
  std::uint32_t block = 1;        // numbers of one block
  std::uint32_t block_bytes = 0;  // bytes of one block
};

struct GgufTensor {
  std::string name;
  std::array<std::uint64_t, 4> dimensions{1, 1, 1, 1};  // the first is the length of a row
  GgufStorage storage;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  // from the beginning of the data
};

struct GgufFile {
  std::uint32_t version = 0;
  std::uint64_t alignment = 32;
  std::uint64_t data_offset = 0;  // from the beginning of the file
  std::map<std::string, GgufValue, std::less<>> keys;
  std::vector<GgufTensor> tensors;

  // Null when there is none.
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  [[nodiscard]] const GgufTensor* tensor(std::string_view name) const;
};

// `bytes`: the whole file, which must outlive the answer. Code::invalid_argument names the key or
// tensor and what is wrong with it.
[[nodiscard]] Result<GgufFile> read_gguf(std::string_view bytes);

// The texts of an array of strings. REQUIRES: `value` is one.
[[nodiscard]] std::vector<std::string_view> gguf_strings(const GgufValue& value);

// A text of the file for a message: printable, cut, in quotes.
[[nodiscard]] std::string in_quotes(std::string_view text);

}  // namespace deepmoat::worker
