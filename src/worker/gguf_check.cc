// Rules over the values of a GGUF file. Each stands for something that llama.cpp asserts, trusts
// or multiplies; the comments name it.
#include "worker/gguf_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_set>

namespace deepmoat::worker {

namespace {

constexpr std::uint64_t kLayersMax = 512;    // LLAMA_MAX_LAYERS
constexpr std::uint64_t kExpertsMax = 1024;  // LLAMA_MAX_EXPERTS
constexpr std::uint64_t kHeadsMax = 8192;
constexpr std::uint64_t kWidthMax = 1U << 20U;
constexpr std::uint64_t kContextMax = 1U << 28U;
constexpr std::uint64_t kTokensMax = 1U << 22U;
constexpr std::size_t kTokenBytesMax = 16'384;
constexpr std::size_t kTemplateBytesMax = 1U << 20U;
constexpr std::size_t kArchitectureBytesMax = 63;

std::unexpected<Error> refuse(std::string message) {
  return fail(Code::invalid_argument, "the model file was refused: " + std::move(message));
}

template <class T>
T number_at(std::string_view bytes, std::uint64_t index = 0) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

std::string text_of(const GgufFile& file, std::string_view key) {
  const GgufValue* value = file.find(key);
  return value != nullptr && value->type == GgufType::string ? std::string(value->bytes) : "";
}

// The values of one architecture ("llama.block_count"). A key of a wrong type is refused; one that
// is not there has no value.
class Hyper {
 public:
  Hyper(const GgufFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  [[nodiscard]] std::string key(std::string_view name) const {
    return architecture_ + "." + std::string(name);
  }
  [[nodiscard]] const std::string& architecture() const { return architecture_; }
  [[nodiscard]] const GgufValue* find(std::string_view name) const { return file_.find(key(name)); }

  [[nodiscard]] Result<std::optional<std::uint64_t>> number(std::string_view name,
                                                            std::uint64_t low,
                                                            std::uint64_t high) const {
    const GgufValue* value = find(name);
    if (value == nullptr) {
      return std::optional<std::uint64_t>();
    }
    if (value->type != GgufType::u32) {
      return refuse(fmt::format("key {} must be a u32, not {}", in_quotes(key(name)),
                                gguf_type_name(value->type)));
    }
    const std::uint64_t found = number_at<std::uint32_t>(value->bytes);
    CHECK_OK(in_range(name, found, low, high));
    return std::optional(found);
  }

  [[nodiscard]] Result<std::uint64_t> required(std::string_view name, std::uint64_t low,
                                               std::uint64_t high) const {
    TRY(const auto found, number(name, low, high));
    if (!found) {
      return refuse("key " + in_quotes(key(name)) + " is missing");
    }
    return *found;
  }

  // One number for all layers, or an array with one for each.
  [[nodiscard]] Result<std::vector<std::uint64_t>> for_layers(std::string_view name,
                                                              std::uint64_t layers,
                                                              std::uint64_t high) const {
    const GgufValue* value = find(name);
    if (value == nullptr || value->type != GgufType::array) {
      TRY(const auto one, number(name, 0, high));
      return one ? std::vector<std::uint64_t>(layers, *one) : std::vector<std::uint64_t>();
    }
    if (value->element != GgufType::u32 && value->element != GgufType::i32) {
      return refuse(fmt::format("array {} must hold i32 or u32, not {}", in_quotes(key(name)),
                                gguf_type_name(value->element)));
    }
    if (value->count != layers) {
      return refuse(fmt::format("array {} has {} elements for {} layers", in_quotes(key(name)),
                                value->count, layers));
    }
    std::vector<std::uint64_t> numbers;
    for (std::uint64_t i = 0; i < value->count; ++i) {
      // A negative number is a huge one here, and refused as such.
      numbers.push_back(number_at<std::uint32_t>(value->bytes, i));
      CHECK_OK(in_range(name, numbers.back(), 0, high));
    }
    return numbers;
  }

 private:
  [[nodiscard]] Result<> in_range(std::string_view name, std::uint64_t found, std::uint64_t low,
                                  std::uint64_t high) const {
    if (found < low || found > high) {
      return refuse(
          fmt::format("key {} is {}; it must be {} to {}", in_quotes(key(name)), found, low, high));
    }
    return {};
  }

  const GgufFile& file_;
  std::string architecture_;
};

Result<std::string> architecture_of(const GgufFile& file) {
  const GgufValue* value = file.find("general.architecture");
  if (value == nullptr || value->type != GgufType::string) {
    return refuse("key \"general.architecture\" is missing or no string");
  }
  const std::string_view name = value->bytes;
  const bool good =
      !name.empty() && name.size() <= kArchitectureBytesMax &&
      std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
      });
  if (!good) {
    return refuse("key \"general.architecture\" is " + in_quotes(name) + ", which names none");
  }
  return std::string(name);
}

// Numbers that are none spread through every product; the epsilon of a norm is asserted >= 0.
Result<> check_floats(const GgufFile& file) {
  for (const auto& [key, value] : file.keys) {
    if (value.type != GgufType::f32) {
      continue;
    }
    const float number = number_at<float>(value.bytes);
    if (!std::isfinite(number) || (key.ends_with("epsilon") && number < 0)) {
      return refuse(fmt::format("key {} is {}, which is no usable number", in_quotes(key), number));
    }
  }
  return {};
}

struct Expected {
  std::string_view key;
  GgufType type;
  std::array<GgufType, 2> elements;  // of an array: one of these
};

// The loader reads some of these through a pointer of the type that it expects.
constexpr std::array kExpected{
    Expected{"general.type", GgufType::string, {}},
    Expected{"general.name", GgufType::string, {}},
    Expected{"general.file_type", GgufType::u32, {}},
    Expected{"tokenizer.ggml.model", GgufType::string, {}},
    Expected{"tokenizer.ggml.pre", GgufType::string, {}},
    Expected{"tokenizer.ggml.tokens", GgufType::array, {GgufType::string, GgufType::string}},
    Expected{"tokenizer.ggml.merges", GgufType::array, {GgufType::string, GgufType::string}},
    Expected{"tokenizer.ggml.token_type", GgufType::array, {GgufType::i32, GgufType::i32}},
    Expected{"tokenizer.ggml.scores", GgufType::array, {GgufType::f32, GgufType::i32}},
    Expected{"tokenizer.ggml.suppress_tokens", GgufType::array, {GgufType::i32, GgufType::i32}},
    Expected{"tokenizer.ggml.precompiled_charsmap", GgufType::array, {GgufType::i8, GgufType::u8}},
    Expected{"tokenizer.chat_template", GgufType::string, {}},
    Expected{"adapter.type", GgufType::string, {}},
    Expected{"adapter.lora.alpha", GgufType::f32, {}},
    Expected{"adapter.alora.invocation_tokens", GgufType::array, {GgufType::u32, GgufType::u32}},
    Expected{"split.no", GgufType::u16, {}},
    Expected{"split.count", GgufType::u16, {}},
    Expected{"split.tensors.count", GgufType::i32, {}},
};

Result<> check_types(const GgufFile& file) {
  for (const Expected& expected : kExpected) {
    const GgufValue* value = file.find(expected.key);
    if (value == nullptr) {
      continue;
    }
    if (value->type != expected.type) {
      return refuse(fmt::format("key {} must be a {}, not a {}", in_quotes(expected.key),
                                gguf_type_name(expected.type), gguf_type_name(value->type)));
    }
    if (expected.type == GgufType::array &&
        std::ranges::find(expected.elements, value->element) == expected.elements.end()) {
      return refuse(fmt::format("array {} must hold {}, not {}", in_quotes(expected.key),
                                gguf_type_name(expected.elements[0]),
                                gguf_type_name(value->element)));
    }
  }
  const GgufValue* layout = file.find("tokenizer.chat_template");
  if (layout != nullptr && layout->bytes.size() > kTemplateBytesMax) {
    return refuse(fmt::format("key \"tokenizer.chat_template\" has {} bytes; {} at most",
                              layout->bytes.size(), kTemplateBytesMax));
  }
  return {};
}

// The charsmap of a unigram tokenizer begins with the bytes of its first table.
Result<> check_charsmap(const GgufFile& file) {
  const GgufValue* map = file.find("tokenizer.ggml.precompiled_charsmap");
  if (map == nullptr || map->bytes.empty()) {
    return {};
  }
  const bool fits =
      map->bytes.size() > sizeof(std::uint32_t) &&
      number_at<std::uint32_t>(map->bytes) < map->bytes.size() - sizeof(std::uint32_t) &&
      number_at<std::uint32_t>(map->bytes) % sizeof(std::uint32_t) == 0;
  if (!fits || map->bytes.back() != '\0') {
    return refuse(
        "array \"tokenizer.ggml.precompiled_charsmap\": its table is longer than it, or "
        "its last text has no end");
  }
  return {};
}

// Returns the number of tokens; 0: the file has no tokenizer.
Result<std::uint64_t> check_tokenizer(const GgufFile& file) {
  CHECK_OK(check_charsmap(file));
  const GgufValue* tokens = file.find("tokenizer.ggml.tokens");
  if (tokens == nullptr) {
    return 0;
  }
  if (tokens->count == 0 || tokens->count > kTokensMax) {
    return refuse(fmt::format("array \"tokenizer.ggml.tokens\" has {} elements; 1 to {}",
                              tokens->count, kTokensMax));
  }
  // token_to_id and id_to_token are asserted to have one size.
  std::unordered_set<std::string_view> known;
  for (const std::string_view token : gguf_strings(*tokens)) {
    if (token.size() > kTokenBytesMax) {
      return refuse(fmt::format("a token of {} bytes; {} at most", token.size(), kTokenBytesMax));
    }
    if (!token.empty() && !known.insert(token).second) {
      return refuse("token " + in_quotes(token) + " is there twice");
    }
  }
  for (const char* name : {"tokenizer.ggml.token_type", "tokenizer.ggml.scores"}) {
    const GgufValue* others = file.find(name);
    if (others != nullptr && others->count != tokens->count) {
      return refuse(fmt::format("array {} has {} elements for {} tokens", in_quotes(name),
                                others->count, tokens->count));
    }
  }
  return tokens->count;
}

Result<> check_heads(const Hyper& hyper, std::uint64_t layers, std::uint64_t width) {
  TRY(const auto heads, hyper.for_layers("attention.head_count", layers, kHeadsMax));
  TRY(const auto kv_heads, hyper.for_layers("attention.head_count_kv", layers, kHeadsMax));
  TRY(const auto key_length, hyper.number("attention.key_length", 1, kWidthMax));
  TRY(const auto value_length, hyper.number("attention.value_length", 1, kWidthMax));
  for (std::size_t i = 0; i < heads.size(); ++i) {
    const std::uint64_t kv = i < kv_heads.size() ? kv_heads[i] : heads[i];
    if (heads[i] > 0 && kv > 0 && heads[i] % kv != 0) {
      return refuse(fmt::format("key {}: {} heads are no multiple of {} key and value heads",
                                in_quotes(hyper.key("attention.head_count")), heads[i], kv));
    }
    if (heads[i] > width && (!key_length || !value_length)) {
      return refuse(fmt::format("key {}: {} heads for a width of {}",
                                in_quotes(hyper.key("attention.head_count")), heads[i], width));
    }
  }
  return {};
}

// What llama_model::load_hparams asserts of mixtures of experts.
Result<> check_experts(const Hyper& hyper, std::uint64_t layers) {
  TRY(const auto count, hyper.number("expert_count", 0, kExpertsMax));
  TRY(const auto used, hyper.for_layers("expert_used_count", layers, kExpertsMax));
  TRY(const auto groups, hyper.number("expert_group_count", 0, kExpertsMax));
  TRY(const auto groups_used, hyper.number("expert_group_used_count", 0, kExpertsMax));
  const std::uint64_t experts = count.value_or(0);
  const std::uint64_t most = used.empty() ? 0 : *std::ranges::max_element(used);
  if (experts <= 1 && hyper.architecture().starts_with("hunyuan")) {
    return {};
  }
  const auto wrong = [&](std::string_view name, std::string_view why) {
    return refuse(fmt::format("key {}: {} ({} experts, {} used, {} groups, {} used)",
                              in_quotes(hyper.key(name)), why, experts, most, groups.value_or(0),
                              groups_used.value_or(0)));
  };
  if (most > experts || (experts > 0 && most == 0)) {
    return wrong("expert_used_count", "must be 1 to the number of experts, or 0 without");
  }
  const std::uint64_t parts = groups.value_or(0);
  if (parts > 0 && parts >= experts) {
    return wrong("expert_group_count", "must be fewer than the experts");
  }
  if (parts > 1 &&
      (experts % parts != 0 || groups_used.value_or(0) == 0 || groups_used.value_or(0) >= parts)) {
    return wrong("expert_group_used_count", "groups must be equal, and some but not all used");
  }
  return {};
}

Result<> check_rope(const Hyper& hyper) {
  const GgufValue* scaling = hyper.find("rope.scaling.type");
  constexpr std::array<std::string_view, 4> kKnown{"none", "linear", "yarn", "longrope"};
  if (scaling != nullptr && (scaling->type != GgufType::string ||
                             std::ranges::find(kKnown, scaling->bytes) == kKnown.end())) {
    return refuse("key " + in_quotes(hyper.key("rope.scaling.type")) +
                  " must be none, linear, yarn or longrope");
  }
  TRY(const auto dimensions, hyper.number("rope.dimension_count", 0, kWidthMax));
  (void)dimensions;
  return {};
}

// Layers are indices into fixed tables.
Result<> check_layer_names(const GgufFile& file, std::uint64_t layers) {
  constexpr std::string_view kPrefix = "blk.";
  for (const GgufTensor& tensor : file.tensors) {
    if (!tensor.name.starts_with(kPrefix)) {
      continue;
    }
    std::uint64_t layer = 0;
    std::size_t at = kPrefix.size();
    while (at < tensor.name.size() && tensor.name[at] >= '0' && tensor.name[at] <= '9' &&
           layer <= kLayersMax) {
      layer = layer * 10 + static_cast<std::uint64_t>(tensor.name[at++] - '0');
    }
    if (at == kPrefix.size() || at == tensor.name.size() || tensor.name[at] != '.' ||
        layer >= layers) {
      return refuse(
          fmt::format("tensor {} belongs to no layer of {}", in_quotes(tensor.name), layers));
    }
  }
  return {};
}

// Tokens index the rows of these tensors.
Result<> check_embedding(const GgufFile& file, const GgufFacts& facts) {
  const GgufTensor* rows = file.tensor("token_embd.weight");
  if (rows == nullptr || facts.vocabulary == 0) {
    return {};
  }
  if (rows->dimensions[1] != facts.vocabulary || rows->dimensions[0] != facts.width) {
    return refuse(
        fmt::format("tensor \"token_embd.weight\" has {} rows of {} numbers for {} tokens "
                    "and a width of {}",
                    rows->dimensions[1], rows->dimensions[0], facts.vocabulary, facts.width));
  }
  const GgufTensor* output = file.tensor("output.weight");
  if (output != nullptr && output->dimensions[1] != facts.vocabulary) {
    return refuse(fmt::format("tensor \"output.weight\" has {} rows for {} tokens",
                              output->dimensions[1], facts.vocabulary));
  }
  return {};
}

Result<> check_adapter(const GgufFile& file) {
  if (text_of(file, "adapter.type") != "lora") {
    return refuse("key \"adapter.type\" must be \"lora\"");
  }
  constexpr std::string_view kA = ".lora_a";
  constexpr std::string_view kB = ".lora_b";
  std::map<std::string_view, const GgufTensor*> by_name;
  for (const GgufTensor& tensor : file.tensors) {
    by_name.emplace(tensor.name, &tensor);
  }
  for (const GgufTensor& tensor : file.tensors) {
    const bool a = tensor.name.ends_with(kA);
    if (!a && !tensor.name.ends_with(kB)) {
      if (tensor.name.ends_with("_norm.weight")) {
        continue;
      }
      return refuse("tensor " + in_quotes(tensor.name) + " is neither .lora_a nor .lora_b");
    }
    const std::string stem = tensor.name.substr(0, tensor.name.size() - kA.size());
    const auto other = by_name.find(stem + std::string(a ? kB : kA));
    if (other == by_name.end()) {
      return refuse("tensor " + in_quotes(tensor.name) + " has no other half");
    }
    // An embedding's A is stored the other way round.
    if (a && !stem.ends_with("token_embd.weight") &&
        tensor.dimensions[1] != other->second->dimensions[0]) {
      return refuse(fmt::format("tensor {} has rank {}, its other half {}", in_quotes(tensor.name),
                                tensor.dimensions[1], other->second->dimensions[0]));
    }
  }
  return {};
}

std::string task_of(const Hyper& hyper) {
  constexpr std::uint32_t kPoolingRank = 4;
  const GgufValue* pooling = hyper.find("pooling_type");
  if (pooling != nullptr && pooling->type == GgufType::u32) {
    const auto type = number_at<std::uint32_t>(pooling->bytes);
    return type == 0 ? "generate" : type == kPoolingRank ? "rerank" : "embed";
  }
  const GgufValue* causal = hyper.find("attention.causal");
  const bool looks_both_ways =
      causal != nullptr && causal->type == GgufType::boolean && causal->bytes.front() == '\0';
  return looks_both_ways ? "embed" : "generate";
}

// As llama.cpp keeps them. Latent attention (DeepSeek) has one compressed row for all heads, of
// which the values are a part. Too much where a window or a state stands for some layers.
Result<std::uint64_t> cell_bytes_of(const Hyper& hyper, std::uint64_t layers, std::uint64_t width) {
  constexpr std::uint64_t kNumberBytes = 2;
  TRY(const auto heads, hyper.for_layers("attention.head_count", layers, kHeadsMax));
  TRY(const auto kv_heads, hyper.for_layers("attention.head_count_kv", layers, kHeadsMax));
  TRY(const auto key, hyper.number("attention.key_length", 1, kWidthMax));
  TRY(const auto value, hyper.number("attention.value_length", 1, kWidthMax));
  const bool latent = hyper.find("attention.key_length_mla") != nullptr;
  std::uint64_t numbers = 0;
  for (std::size_t i = 0; i < heads.size(); ++i) {
    const std::uint64_t usual = width / std::max<std::uint64_t>(heads[i], 1);
    const std::uint64_t row = key.value_or(usual) + (latent ? 0 : value.value_or(usual));
    numbers += row * (i < kv_heads.size() ? kv_heads[i] : heads[i]);
  }
  return kNumberBytes * numbers;
}

Result<> check_model(const GgufFile& file, const Hyper& hyper, GgufFacts& facts) {
  TRY(const std::uint64_t layers, hyper.required("block_count", 1, kLayersMax));
  TRY(const std::uint64_t width, hyper.required("embedding_length", 1, kWidthMax));
  TRY(const std::uint64_t context, hyper.required("context_length", 1, kContextMax));
  TRY(const auto next, hyper.number("nextn_predict_layers", 0, layers));
  (void)next;
  facts.layers = static_cast<std::uint32_t>(layers);
  facts.width = static_cast<std::uint32_t>(width);
  facts.context_tokens = static_cast<std::uint32_t>(context);
  CHECK_OK(check_heads(hyper, layers, width));
  CHECK_OK(check_experts(hyper, layers));
  CHECK_OK(check_rope(hyper));
  TRY(facts.cell_bytes, cell_bytes_of(hyper, layers, width));
  facts.task = task_of(hyper);
  return check_embedding(file, facts);
}

}  // namespace

Result<GgufFacts> check_gguf(const GgufFile& file, std::uint32_t part) {
  GgufFacts facts;
  CHECK_OK(check_types(file));
  CHECK_OK(check_floats(file));
  facts.tensors = file.tensors.size();
  for (const GgufTensor& tensor : file.tensors) {
    facts.parameters += tensor.elements;
    facts.mix[std::string(tensor.storage.name)] += static_cast<double>(tensor.elements);
  }
  if (part > 0) {
    return facts;
  }
  TRY(facts.architecture, architecture_of(file));
  facts.name = text_of(file, "general.name");
  facts.tokenizer = text_of(file, "tokenizer.ggml.model");
  facts.base = text_of(file, "general.base_model.0.name");
  facts.chat_template = !text_of(file, "tokenizer.chat_template").empty();
  const std::string type = text_of(file, "general.type");
  facts.kind = type.empty() ? "model" : type == "mmproj" ? "projector" : type;
  TRY(facts.vocabulary, check_tokenizer(file));
  if (facts.kind == "adapter") {
    CHECK_OK(check_adapter(file));
  } else if (facts.kind == "model" && facts.architecture != "clip") {
    CHECK_OK(check_model(file, Hyper(file, facts.architecture), facts));
    CHECK_OK(check_layer_names(file, facts.layers));
  } else if (facts.kind != "projector" && facts.architecture != "clip") {
    return refuse("key \"general.type\" is " + in_quotes(facts.kind) +
                  "; models, adapters and projectors can be used");
  }
  return facts;
}

}  // namespace deepmoat::worker
