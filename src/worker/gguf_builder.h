// For tests: makes GGUF files, right and wrong ones, byte by byte.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/gguf_file.h"

namespace deepmoat::worker {

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline std::string raw_text(std::string_view text) {
  return raw<std::uint64_t>(text.size()) + std::string(text);
}

struct KeyBytes {
  std::string name;
  std::string value;  // type and bytes
};

inline std::string raw_type(GgufType type) {
  return raw(static_cast<std::uint32_t>(type));
}

inline KeyBytes key_text(const std::string& name, std::string_view text) {
  return {name, raw_type(GgufType::string) + raw_text(text)};
}
inline KeyBytes key_u32(const std::string& name, std::uint32_t number) {
  return {name, raw_type(GgufType::u32) + raw(number)};
}
inline KeyBytes key_f32(const std::string& name, float number) {
  return {name, raw_type(GgufType::f32) + raw(number)};
}
inline KeyBytes key_array(const std::string& name, GgufType element, std::uint64_t count,
                          const std::string& bytes) {
  return {name, raw_type(GgufType::array) + raw_type(element) + raw(count) + bytes};
}
inline KeyBytes key_texts(const std::string& name, const std::vector<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) {
    bytes += raw_text(text);
  }
  return key_array(name, GgufType::string, texts.size(), bytes);
}

struct TensorBytes {
  std::string name;
  std::vector<std::uint64_t> dimensions;
  std::uint32_t storage = 0;  // F32
  std::uint64_t bytes = 0;    // of its data
  // Where it says that it lies; kAfter: after the one before it.
  static constexpr std::uint64_t kAfter = ~0ULL;
  std::uint64_t offset = kAfter;
  std::uint32_t dimension_count_more = 0;  // added to what it says
};

// A small Llama: 4 tokens, 1 layer, width 8. Tests change what they are about.
struct GgufBuilder {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::int64_t tensor_count_more = 0;  // added to what the head says
  std::int64_t key_count_more = 0;
  std::vector<KeyBytes> keys{
      key_text("general.architecture", "llama"),
      key_u32("llama.block_count", 1),
      key_u32("llama.context_length", 128),
      key_u32("llama.embedding_length", 8),
      key_u32("llama.attention.head_count", 2),
      key_u32("llama.attention.head_count_kv", 1),
      key_f32("llama.attention.layer_norm_rms_epsilon", 1e-5F),
      key_text("tokenizer.ggml.model", "gpt2"),
      key_texts("tokenizer.ggml.tokens", {"a", "b", "<s>", "</s>"}),
      key_array("tokenizer.ggml.token_type", GgufType::i32, 4,
                raw<std::int32_t>(1) + raw<std::int32_t>(1) + raw<std::int32_t>(3) +
                    raw<std::int32_t>(3)),
      key_texts("tokenizer.ggml.merges", {"a b"}),
  };
  std::vector<TensorBytes> tensors{
      {"token_embd.weight", {8, 4}, 0, 128},
      {"blk.0.attn_q.weight", {8, 8}, 1, 128},
      {"output_norm.weight", {8}, 0, 32},
  };
  std::string after;  // bytes after the last tensor

  void set(const KeyBytes& key) {
    for (KeyBytes& there : keys) {
      if (there.name == key.name) {
        there = key;
        return;
      }
    }
    keys.push_back(key);
  }
  void drop(std::string_view name) {
    std::erase_if(keys, [name](const KeyBytes& key) { return key.name == name; });
  }

  [[nodiscard]] std::string bytes() const {
    std::string out = magic + raw(version);
    out += raw<std::uint64_t>(tensors.size() + static_cast<std::uint64_t>(tensor_count_more));
    out += raw<std::uint64_t>(keys.size() + static_cast<std::uint64_t>(key_count_more));
    for (const KeyBytes& key : keys) {
      out += raw_text(key.name) + key.value;
    }
    std::uint64_t next = 0;
    for (const TensorBytes& tensor : tensors) {
      out += raw_text(tensor.name) + raw(static_cast<std::uint32_t>(tensor.dimensions.size()) +
                                         tensor.dimension_count_more);
      for (const std::uint64_t length : tensor.dimensions) {
        out += raw(length);
      }
      out += raw(tensor.storage);
      out += raw(tensor.offset == TensorBytes::kAfter ? next : tensor.offset);
      next += padded(tensor.bytes);
    }
    out.resize(padded(out.size()), '\0');
    for (const TensorBytes& tensor : tensors) {
      out += std::string(padded(tensor.bytes), '\x01');
    }
    return out + after;
  }

 private:
  [[nodiscard]] std::uint64_t padded(std::uint64_t size) const {
    return (size + alignment - 1) / alignment * alignment;
  }
};

}  // namespace deepmoat::worker
