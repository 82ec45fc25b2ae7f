#include "engine/model.h"

#include <log.h>

#include <algorithm>
#include <array>
#include <exception>
#include <string_view>

#include "base/log.h"
#include "engine/handles.h"
#include "engine/model_shape.h"

namespace deepmoat::engine {

namespace {

constexpr std::size_t kSelfTestRows = 96;  // enough for the tiled kernels of every variant
constexpr std::uint32_t kFewRows = 1;      // to learn what a saved token costs
constexpr std::uint32_t kManyRows = 8;
constexpr std::int32_t kNoRoom = 1;  // llama_decode's status

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

Result<> load_weights(const ModelOptions& options, ModelHandles& handles) {
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = -1;
  params.progress_callback = report_progress;
  auto progress = options.progress;
  params.progress_callback_user_data = &progress;
  handles.model.reset(llama_model_load_from_file(options.file.c_str(), params));
  if (!handles.model) {
    return fail(Code::invalid_argument,
                options.file.string() + " is not a model that this engine can load");
  }
  handles.vocab = llama_model_get_vocab(handles.model.get());
  for (const AdapterFile& adapter : options.adapters) {
    handles.adapters.push_back(llama_adapter_lora_init(handles.model.get(), adapter.file.c_str()));
    if (handles.adapters.back() == nullptr) {
      return fail(Code::invalid_argument, "adapter " + adapter.name + ": " + adapter.file.string() +
                                              " is not an adapter of this model");
    }
  }
  return {};
}

Result<> make_context(const ModelOptions& options, Task task, ModelHandles& handles) {
  llama_context_params params;
  if (task == Task::generate) {
    const MemoryPlan plan = plan_answers(handles.model.get(), options);
    params = plan.params;
    handles.shape = plan.shape;
  } else {
    params = plan_vectors(handles.model.get(), task, options);
  }
  handles.context.reset(llama_init_from_model(handles.model.get(), params));
  if (!handles.context) {
    return fail(Code::resource_exhausted,
                "no memory for the model's context; use a smaller --cells");
  }
  handles.batch_tokens = static_cast<std::int32_t>(
      task == Task::generate ? options.batch_tokens : llama_n_batch(handles.context.get()));
  handles.batch = llama_batch_init(handles.batch_tokens, 0, 1);
  return {};
}

}  // namespace

Model::Model(std::unique_ptr<ModelHandles> handles, ModelFacts facts)
    : handles_(std::move(handles)), facts_(std::move(facts)) {
  const llama_model* model = handles_->model.get();
  const llama_context* context = handles_->context.get();
  std::array<char, 128> text{};
  llama_model_desc(model, text.data(), text.size());
  facts_.description = text.data();
  facts_.architecture = architecture_of(model);
  facts_.cells = llama_n_ctx(context);
  facts_.sequences = llama_n_seq_max(context);
  facts_.context_tokens =
      std::min(static_cast<std::uint32_t>(llama_model_n_ctx_train(model)),
               facts_.task == Task::generate ? llama_n_ctx_seq(context) : llama_n_ubatch(context));
  facts_.parameters = llama_model_n_params(model);
  facts_.model_bytes = llama_model_size(model);
  facts_.vocabulary = static_cast<std::uint32_t>(llama_vocab_n_tokens(handles_->vocab));
  facts_.embedding_width = static_cast<std::uint32_t>(llama_model_n_embd_out(model));
  facts_.chat = llama_model_chat_template(model, nullptr) != nullptr;
  facts_.reasoning = facts_.chat && handles_->chat_formats->thinks();
  facts_.tools = facts_.chat;  // in its own form, or as text in the system message
  facts_.fill = llama_vocab_fim_pre(handles_->vocab) != LLAMA_TOKEN_NULL &&
                llama_vocab_fim_suf(handles_->vocab) != LLAMA_TOKEN_NULL;
  if (facts_.task == Task::generate) {
    memory_ = std::make_unique<SequenceMemory>(handles_->context.get(), handles_->shape);
  }
}

Model::~Model() = default;

Result<std::unique_ptr<Model>> Model::load(const ModelOptions& options) {
  llama_log_set(forward_log, nullptr);
  common_log_set_verbosity_thold(-1);  // llama-common prints what a model says
  llama_backend_init();
  auto handles = std::make_unique<ModelHandles>();
  ModelFacts facts;
  try {
    CHECK_OK(load_weights(options, *handles));
    facts.task = task_of(handles->model.get(), options.task);
    CHECK_OK(make_context(options, facts.task, *handles));
    handles->templates = common_chat_templates_init(handles->model.get(), "");
    handles->chat_formats = std::make_unique<ChatFormats>(handles->templates.get(), handles->vocab);
    handles->control_texts = control_texts_of(handles->vocab);
  } catch (const std::exception& error) {
    return fail(Code::invalid_argument, options.file.string() + ": " + error.what());
  }
  facts.adapters = options.adapters;
  return std::make_unique<Model>(std::move(handles), std::move(facts));
}

Result<> Model::self_test() {
  const std::size_t most =
      std::min<std::size_t>(kSelfTestRows, static_cast<std::size_t>(handles_->batch_tokens));
  const std::vector<Token> tokens(most,
                                  std::min<Token>(100, static_cast<Token>(facts_.vocabulary) - 1));
  std::uint32_t position = 0;
  SequenceMemory::Sizes few;
  for (const std::size_t rows :
       {std::size_t{kFewRows}, std::size_t{kManyRows - kFewRows}, most, std::size_t{1}}) {
    const Rows group{.sequence = 0,
                     .position = position,
                     .tokens = std::span(tokens).first(std::min(rows, most)),
                     .logits = true};
    CHECK_OK(decode({&group, 1}));
    position += static_cast<std::uint32_t>(group.tokens.size());
    if (position == kFewRows) {
      few = memory_->sizes(0);
    } else if (position == kManyRows) {
      memory_->calibrate(few, kFewRows, memory_->sizes(0), kManyRows);
    }
  }
  const std::span<const float> values = logits(0);
  const bool finite = std::ranges::all_of(values, [](float v) { return v - v == 0.0F; });
  memory_->drop(0);
  if (!finite) {
    return fail(Code::internal, "the engine computes values that are not numbers on this machine");
  }
  return {};
}

Result<> Model::use_adapter(std::optional<std::size_t> index, float scale) {
  if (index == adapter_ && (!index || scale == adapter_scale_)) {
    return {};
  }
  llama_adapter_lora* adapter = index ? handles_->adapters.at(*index) : nullptr;
  if (llama_set_adapters_lora(handles_->context.get(), index ? &adapter : nullptr, index ? 1 : 0,
                              index ? &scale : nullptr) != 0) {
    return fail(Code::internal, "the engine refused an adapter");
  }
  adapter_ = index;
  adapter_scale_ = scale;
  return {};
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
    memory_->note_decoded();
    if (status == kNoRoom) {
      return fail(Code::resource_exhausted, "the KV memory has no room for a batch");
    }
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
