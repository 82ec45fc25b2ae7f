#include "engine/model.h"

#include <log.h>

#include <algorithm>
#include <array>
#include <exception>
#include <string_view>

#include "base/log.h"
#include "engine/handles.h"

namespace deepmoat::engine {

namespace {

constexpr std::uint32_t kCellsAutoMax = 32768;
constexpr std::uint32_t kCellsAutoMin = 2048;
constexpr std::uint32_t kCellsStep = 256;  // llama.cpp pads the KV memory to this
constexpr std::size_t kSelfTestRows = 96;  // enough for the tiled kernels of every variant

void forward_log(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_WARN && level != GGML_LOG_LEVEL_ERROR) {
    return;
  }
  std::string_view line(text);
  while (line.ends_with('\n')) {
    line.remove_suffix(1);
  }
  if (!line.empty()) {
    log::write(level == GGML_LOG_LEVEL_ERROR ? log::Level::warn : log::Level::debug,
               "the engine's library says", {{"text", line}});
  }
}

bool report_progress(float fraction, void* data) {
  const auto& progress = *static_cast<const std::function<void(float)>*>(data);
  if (progress) {
    progress(fraction);
  }
  return true;
}

// Bytes of keys and values of one token, F16. Too much for models with compressed attention.
std::uint64_t cell_bytes(const llama_model* model) {
  const auto heads = static_cast<std::uint64_t>(std::max(llama_model_n_head(model), 1));
  const auto width = static_cast<std::uint64_t>(llama_model_n_embd(model)) / heads;
  return 2ULL * 2ULL * width * static_cast<std::uint64_t>(llama_model_n_head_kv(model)) *
         static_cast<std::uint64_t>(llama_model_n_layer(model));
}

std::uint32_t choose_cells(const llama_model* model, const ModelOptions& options) {
  std::uint64_t cells = options.cells;
  if (cells == 0) {
    cells = std::clamp<std::uint64_t>(
        options.memory_bytes / std::max<std::uint64_t>(cell_bytes(model), 1), kCellsAutoMin,
        kCellsAutoMax);
  }
  return static_cast<std::uint32_t>((cells + kCellsStep - 1) / kCellsStep * kCellsStep);
}

std::string architecture_of(const llama_model* model) {
  std::array<char, 64> text{};
  llama_model_meta_val_str(model, "general.architecture", text.data(), text.size());
  return text.data();
}

// Whether a part of a sequence can be copied or cut off.
bool can_share(const llama_model* model) {
  return !llama_model_is_recurrent(model) && !llama_model_is_hybrid(model) &&
         architecture_of(model) != "deepseek4";
}

llama_context_params context_params(const llama_model* model, const ModelOptions& options) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = choose_cells(model, options);
  params.n_batch = std::max(options.batch_tokens, options.sequences);
  params.n_outputs_max = options.sequences;  // one row of logits a sequence at most
  params.n_ubatch = options.batch_tokens;
  params.n_seq_max = options.sequences;
  params.n_threads = static_cast<std::int32_t>(options.threads);
  params.n_threads_batch = static_cast<std::int32_t>(options.threads);
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
  params.kv_unified = options.unified;
  params.swa_full = true;  // else a copied prefix lacks its sliding window, and nobody says so
  params.no_perf = true;
  return params;
}

std::vector<std::string> control_texts_of(const llama_vocab* vocab) {
  std::vector<std::string> texts;
  for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
    const auto attributes = static_cast<unsigned>(llama_vocab_get_attr(vocab, token));
    if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0) {
      const char* text = llama_vocab_get_text(vocab, token);
      if (text != nullptr && *text != '\0') {
        texts.emplace_back(text);
      }
    }
  }
  std::ranges::sort(texts, [](const auto& a, const auto& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
  return texts;
}

bool knows_reasoning(const common_chat_templates* templates) {
  common_chat_templates_inputs inputs;
  common_chat_msg message;
  message.role = "user";
  message.content = "x";
  inputs.messages = {message};
  inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  try {
    return common_chat_templates_apply(templates, inputs).supports_thinking;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

Model::Model(std::unique_ptr<ModelHandles> handles) : handles_(std::move(handles)) {
  const llama_model* model = handles_->model.get();
  std::array<char, 128> text{};
  llama_model_desc(model, text.data(), text.size());
  facts_.description = text.data();
  facts_.cells = llama_n_ctx(handles_->context.get());
  facts_.context_tokens = std::min(static_cast<std::uint32_t>(llama_model_n_ctx_train(model)),
                                   llama_n_ctx_seq(handles_->context.get()));
  facts_.parameters = llama_model_n_params(model);
  facts_.model_bytes = llama_model_size(model);
  facts_.vocabulary = static_cast<std::uint32_t>(llama_vocab_n_tokens(handles_->vocab));
  facts_.chat = llama_model_chat_template(model, nullptr) != nullptr;
  facts_.reasoning = facts_.chat && knows_reasoning(handles_->templates.get());
  facts_.share_prefixes = can_share(model);
  facts_.share_cells = handles_->unified;
}

Model::~Model() = default;

Result<std::unique_ptr<Model>> Model::load(const ModelOptions& options) {
  llama_log_set(forward_log, nullptr);
  common_log_set_verbosity_thold(-1);  // llama-common prints what a model says
  llama_backend_init();
  auto handles = std::make_unique<ModelHandles>();
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = -1;
  params.progress_callback = report_progress;
  auto progress = options.progress;
  params.progress_callback_user_data = &progress;
  try {
    handles->model.reset(llama_model_load_from_file(options.file.c_str(), params));
    if (!handles->model) {
      return fail(Code::invalid_argument,
                  options.file.string() + " is not a model that this engine can load");
    }
    handles->vocab = llama_model_get_vocab(handles->model.get());
    handles->context.reset(
        llama_init_from_model(handles->model.get(), context_params(handles->model.get(), options)));
    if (!handles->context) {
      return fail(Code::resource_exhausted,
                  "no memory for the model's context; use a smaller --cells");
    }
    handles->templates = common_chat_templates_init(handles->model.get(), "");
    handles->control_texts = control_texts_of(handles->vocab);
  } catch (const std::exception& error) {
    return fail(Code::invalid_argument, options.file.string() + ": " + error.what());
  }
  handles->unified = options.unified;
  handles->batch_tokens = static_cast<std::int32_t>(options.batch_tokens);
  handles->batch = llama_batch_init(handles->batch_tokens, 0, 1);
  return std::make_unique<Model>(std::move(handles));
}

Result<> Model::self_test() {
  const std::size_t rows =
      std::min<std::size_t>(kSelfTestRows, static_cast<std::size_t>(handles_->batch_tokens));
  const std::vector<Token> tokens(rows,
                                  std::min<Token>(100, static_cast<Token>(facts_.vocabulary) - 1));
  const Rows many{.sequence = 0, .position = 0, .tokens = tokens, .logits = true};
  CHECK_OK(decode({&many, 1}));
  const Rows one{.sequence = 0,
                 .position = static_cast<std::uint32_t>(rows),
                 .tokens = std::span(tokens).first(1),
                 .logits = true};
  CHECK_OK(decode({&one, 1}));
  const std::span<const float> values = logits(0);
  const bool finite = std::ranges::all_of(values, [](float v) { return v - v == 0.0F; });
  drop(0);
  if (!finite) {
    return fail(Code::internal, "the engine computes values that are not numbers on this machine");
  }
  return {};
}

void Model::copy(SequenceId from, SequenceId to, std::uint32_t tokens) {
  llama_memory_t memory = llama_get_memory(handles_->context.get());
  const auto end = static_cast<llama_pos>(tokens);
  if (handles_->unified && facts_.share_prefixes) {
    llama_memory_seq_cp(memory, from, to, 0, end);
  } else {
    llama_memory_seq_cp(memory, from, to, -1, -1);  // other memories copy whole sequences only
    if (facts_.share_prefixes) {
      llama_memory_seq_rm(memory, to, end, -1);
    }
  }
}

void Model::cut(SequenceId sequence, std::uint32_t tokens) {
  llama_memory_seq_rm(llama_get_memory(handles_->context.get()), sequence,
                      static_cast<llama_pos>(tokens), -1);
}

void Model::drop(SequenceId sequence) {
  llama_memory_seq_rm(llama_get_memory(handles_->context.get()), sequence, -1, -1);
}

Result<> Model::decode(std::span<const Rows> groups) {
  llama_batch& batch = handles_->batch;
  batch.n_tokens = 0;
  handles_->logit_rows.assign(groups.size(), -1);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const Rows& rows = groups[g];
    for (std::size_t i = 0; i < rows.tokens.size(); ++i) {
      if (batch.n_tokens == handles_->batch_tokens) {
        return fail(Code::internal, "a batch is larger than the engine's");
      }
      const std::int32_t at = batch.n_tokens++;
      const bool wanted = rows.logits && i + 1 == rows.tokens.size();
      batch.token[at] = rows.tokens[i];
      batch.pos[at] = static_cast<llama_pos>(rows.position + i);
      batch.n_seq_id[at] = 1;
      batch.seq_id[at][0] = rows.sequence;
      batch.logits[at] = wanted ? 1 : 0;
      if (wanted) {
        handles_->logit_rows[g] = at;
      }
    }
  }
  try {
    const std::int32_t status = llama_decode(handles_->context.get(), batch);
    if (status != 0) {
      return fail(Code::internal, "the engine refused a batch, status " + std::to_string(status));
    }
  } catch (const std::exception& error) {
    return fail(Code::internal, std::string("the engine broke: ") + error.what());
  }
  return {};
}

std::span<const float> Model::logits(std::size_t index) const {
  const float* values = llama_get_logits_ith(handles_->context.get(), handles_->logit_rows[index]);
  return {values, facts_.vocabulary};
}

}  // namespace deepmoat::engine
