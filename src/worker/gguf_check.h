// Whether a model file may be given to llama.cpp. Its loader trusts what a file says in places
// (sizes that overflow, arrays of another type than expected, counts that index fixed tables,
// asserts that end the process); a file that would use one of them is refused here first, by name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "worker/gguf_file.h"

namespace deepmoat::worker {

// What a model file is, as its head tells.
struct GgufFacts {
  std::string kind;  // "model", "adapter", "projector"
  std::string name;  // general.name
  std::string architecture;
  std::string quantisation;           // of most weights; with the mix's name where it is told
  std::map<std::string, double> mix;  // storage -> share of the weights' numbers
  std::string task;                   // "generate", "embed", "rerank"
  std::string tokenizer;              // "gpt2", "llama", ...
  std::string base;                   // of an adapter: the name of the model it was made for
  std::uint64_t parameters = 0;
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;  // of all parts
  std::uint32_t parts = 1;
  std::uint32_t context_tokens = 0;
  std::uint32_t width = 0;  // embedding_length
  std::uint32_t layers = 0;
  std::uint64_t vocabulary = 0;
  std::uint64_t cell_bytes = 0;  // keys and values of one token, F16; 0: it keeps none
  bool chat_template = false;
};

// One whole file, or one part of several. Code::invalid_argument names the key or tensor at fault.
// `part`: 0 for the first; others carry tensors only.
[[nodiscard]] Result<GgufFacts> check_gguf(const GgufFile& file, std::uint32_t part = 0);

// Maps the model's file, or all files of a model in parts (worker/sandbox.h: model_parts()), and
// checks them together. REQUIRES: parts is not empty.
[[nodiscard]] Result<GgufFacts> check_model_files(std::vector<std::filesystem::path> parts);

// For `--inspect`: one JSON object.
[[nodiscard]] std::string to_json(const GgufFacts& facts);

}  // namespace deepmoat::worker
