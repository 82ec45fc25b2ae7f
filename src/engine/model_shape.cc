#include "engine/model_shape.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace deepmoat::engine {

namespace {

constexpr std::uint32_t kCellsAutoMax = 32768;
constexpr std::uint32_t kCellsAutoMin = 2048;
constexpr std::uint32_t kCellsStep = 256;  // llama.cpp pads the KV memory to this
// A sequence of a recurrent model has a state of its own, whether it is used or not, and one of
// DeepSeek V4 a whole context.
constexpr std::uint32_t kStateSequencesMax = 48;
constexpr std::uint32_t kStreamSequencesMax = 24;
constexpr std::uint32_t kStreamSequencesMin = 4;
constexpr std::uint32_t kStreamTokens = 2048;
constexpr std::uint32_t kVectorTokens = 2048;  // of one batch, so of one input
constexpr std::uint32_t kVectorInputs = 64;    // of one batch

std::optional<std::uint64_t> number_of(const llama_model* model, const std::string& key) {
  const std::string text = meta_of(model, architecture_of(model) + "." + key);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text.empty()) {
    return std::nullopt;
  }
  return value;
}

// Bytes of keys and values of one token, F16. Too much where only some layers keep them.
std::uint64_t cell_bytes(const llama_model* model) {
  const auto layers = static_cast<std::uint64_t>(llama_model_n_layer(model));
  if (const auto rank = number_of(model, "attention.kv_lora_rank"); rank && *rank > 0) {
    return 2 * layers * (*rank + number_of(model, "rope.dimension_count").value_or(64));
  }
  const auto heads = static_cast<std::uint64_t>(std::max(llama_model_n_head(model), 1));
  const auto width = number_of(model, "attention.key_length")
                         .value_or(static_cast<std::uint64_t>(llama_model_n_embd(model)) / heads);
  return 2ULL * 2ULL * width * static_cast<std::uint64_t>(llama_model_n_head_kv(model)) * layers;
}

std::uint32_t padded(std::uint64_t cells) {
  return static_cast<std::uint32_t>((cells + kCellsStep - 1) / kCellsStep * kCellsStep);
}

// Layers with a chunked window forget a chunk at once; their state says nothing of holes.
bool has_chunks(const llama_model* model) {
  return architecture_of(model) == "llama4";
}

void plan_window(const llama_model* model, const ModelOptions& options, MemoryPlan& plan) {
  const auto window = static_cast<std::uint32_t>(std::max(llama_model_n_swa(model), 0));
  plan.params.swa_full = true;
  if (window == 0) {
    return;
  }
  const std::uint64_t needed =
      static_cast<std::uint64_t>(window) * (plan.shape.unified ? plan.params.n_seq_max : 1) +
      options.batch_tokens;
  const std::uint32_t sequence_cells =
      plan.shape.unified ? plan.params.n_ctx : plan.params.n_ctx / plan.params.n_seq_max;
  if (options.window == WindowMemory::full || has_chunks(model) ||
      (options.window == WindowMemory::automatic && needed >= sequence_cells)) {
    return;
  }
  plan.params.swa_full = false;
  plan.shape.kind = MemoryKind::window;
  plan.shape.partial = true;
  plan.shape.window = window;
}

}  // namespace

std::uint32_t choose_cells(std::uint32_t wanted, std::uint64_t memory_bytes,
                           std::uint64_t cell_bytes) {
  return padded(
      wanted != 0 ? wanted
                  : std::clamp<std::uint64_t>(memory_bytes / std::max<std::uint64_t>(cell_bytes, 1),
                                              kCellsAutoMin, kCellsAutoMax));
}

std::string meta_of(const llama_model* model, const std::string& key) {
  std::array<char, 256> text{};
  const std::int32_t length =
      llama_model_meta_val_str(model, key.c_str(), text.data(), text.size());
  return length < 0 ? "" : text.data();
}

std::string architecture_of(const llama_model* model) {
  return meta_of(model, "general.architecture");
}

Task task_of(const llama_model* model, Task wanted) {
  if (wanted != Task::automatic) {
    return wanted;
  }
  const auto pooling = number_of(model, "pooling_type");
  if (pooling == static_cast<std::uint64_t>(LLAMA_POOLING_TYPE_RANK)) {
    return Task::rerank;
  }
  const std::string architecture = architecture_of(model);
  const bool encoder = architecture.find("bert") != std::string::npos ||
                       architecture == "gemma-embedding" || architecture == "eurobert";
  return encoder || pooling.value_or(0) > 0 ? Task::embed : Task::generate;
}

MemoryPlan plan_answers(const llama_model* model, const ModelOptions& options) {
  MemoryPlan plan{.shape = {}, .params = llama_context_default_params()};
  plan.shape.unified = options.unified;
  llama_context_params& params = plan.params;
  params.n_ctx = choose_cells(options.cells, options.memory_bytes, cell_bytes(model));
  params.n_seq_max = options.sequences;
  if (architecture_of(model) == "deepseek4") {
    plan.shape = {.kind = MemoryKind::whole, .unified = false, .ranges = false};
    params.n_seq_max = std::min(
        options.sequences,
        std::clamp(params.n_ctx / kStreamTokens, kStreamSequencesMin, kStreamSequencesMax));
    params.swa_full = true;
  } else if (llama_model_is_recurrent(model) || llama_model_is_hybrid(model)) {
    // A range of the attention's part can be copied; a partial state brings the recurrent part.
    plan.shape.kind = MemoryKind::whole;
    plan.shape.partial = llama_model_is_hybrid(model) && options.unified;
    plan.shape.ranges = plan.shape.partial;
    params.n_seq_max = std::min(options.sequences, kStateSequencesMax);
    params.swa_full = true;
  } else {
    plan_window(model, options, plan);
  }
  params.n_batch = std::max(options.batch_tokens, params.n_seq_max);
  params.n_outputs_max = params.n_seq_max;  // one row of logits a sequence at most
  params.n_ubatch = options.batch_tokens;
  params.n_threads = static_cast<std::int32_t>(options.threads);
  params.n_threads_batch = static_cast<std::int32_t>(options.threads);
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
  params.kv_unified = plan.shape.unified;
  params.no_perf = true;
  return plan;
}

llama_context_params plan_vectors(const llama_model* model, Task task,
                                  const ModelOptions& options) {
  llama_context_params params = llama_context_default_params();
  const auto trained = static_cast<std::uint32_t>(std::max(llama_model_n_ctx_train(model), 1));
  params.n_ctx = options.cells != 0 ? options.cells : std::min(trained, kVectorTokens);
  params.n_batch = params.n_ctx;
  params.n_ubatch = params.n_ctx;
  params.n_seq_max = std::min(kVectorInputs, params.n_ctx);
  params.n_threads = static_cast<std::int32_t>(options.threads);
  params.n_threads_batch = static_cast<std::int32_t>(options.threads);
  params.kv_unified = true;
  params.swa_full = true;
  params.embeddings = true;
  params.no_perf = true;
  const std::uint64_t pooling = number_of(model, "pooling_type").value_or(0);
  if (task == Task::rerank) {
    params.pooling_type = LLAMA_POOLING_TYPE_RANK;
  } else if (options.pooling != Pooling::automatic) {
    params.pooling_type = options.pooling == Pooling::mean  ? LLAMA_POOLING_TYPE_MEAN
                          : options.pooling == Pooling::cls ? LLAMA_POOLING_TYPE_CLS
                                                            : LLAMA_POOLING_TYPE_LAST;
  } else if (pooling == LLAMA_POOLING_TYPE_NONE || pooling == LLAMA_POOLING_TYPE_RANK) {
    params.pooling_type = LLAMA_POOLING_TYPE_MEAN;
  }
  return params;
}

}  // namespace deepmoat::engine
