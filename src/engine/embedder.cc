#include "engine/embedder.h"

#include <llama.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <string>

#include "engine/control_text.h"
#include "engine/handles.h"

namespace deepmoat::engine {

namespace {

constexpr std::string_view kQuery = "{query}";
constexpr std::string_view kDocument = "{document}";
constexpr std::size_t kSelfTestTokens = 96;

void append(std::vector<Token>& to, const std::vector<Token>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

void scale_to_one(std::vector<float>& vector) {
  double sum = 0;
  for (const float value : vector) {
    sum += static_cast<double>(value) * value;
  }
  if (sum > 0) {
    const auto factor = static_cast<float>(1 / std::sqrt(sum));
    for (float& value : vector) {
      value *= factor;
    }
  }
}

std::string filled(std::string_view form, std::string_view query, std::string_view document) {
  std::string text;
  while (!form.empty()) {
    const std::size_t query_at = form.find(kQuery);
    const std::size_t document_at = form.find(kDocument);
    const std::size_t at = std::min(query_at, document_at);
    text += form.substr(0, at);
    if (at == std::string_view::npos) {
      break;
    }
    text += at == query_at ? query : document;
    form.remove_prefix(at + (at == query_at ? kQuery.size() : kDocument.size()));
  }
  return text;
}

// A model's own form for a query and a document is tokenised as one text, as it was when the model
// learned it; what users wrote is data all the same.
Result<std::vector<Token>> fill_form(const ModelHandles& handles, std::string_view form,
                                     std::string_view query, std::string_view document) {
  const ControlTexts control(handles.control_texts);
  common_chat_templates_inputs users;
  users.messages.resize(2);
  users.messages[0].content = query;
  users.messages[1].content = document;
  if (!holds_control_text(control, users)) {
    return tokenise(handles.vocab, filled(form, query, document), false, true);
  }
  const std::optional<std::string> mark = mark_control_texts(control, users);
  if (!mark) {
    return fail(Code::invalid_argument, "documents: too many Unicode noncharacters");
  }
  return tokenise_marked(handles.vocab,
                         filled(form, users.messages[0].content, users.messages[1].content), *mark,
                         false);
}

}  // namespace

Embedder::Embedder(Model& model)
    : model_(model),
      batch_tokens_(llama_n_ubatch(model.handles().context.get())),
      batch_inputs_(llama_n_seq_max(model.handles().context.get())) {}

std::vector<Token> Embedder::plain_tokens(std::string_view text, bool special_around,
                                          bool special_inside) const {
  const llama_vocab* vocab = model_.handles().vocab;
  std::vector<Token> tokens(text.size() + 8);
  for (int tries = 0; tries < 2; ++tries) {
    const std::int32_t count =
        llama_tokenize(vocab, text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
                       static_cast<std::int32_t>(tokens.size()), special_around, special_inside);
    tokens.resize(static_cast<std::size_t>(std::abs(count)));
    if (count >= 0) {
      break;
    }
  }
  return tokens;
}

Result<std::vector<Token>> Embedder::tokens_of(std::string_view text) const {
  if (text.empty()) {
    return fail(Code::invalid_argument, "input: a text is empty");
  }
  return plain_tokens(text, true, false);
}

Result<std::vector<Token>> Embedder::tokens_of_pair(std::string_view query,
                                                    std::string_view document) const {
  if (query.empty() || document.empty()) {
    return fail(Code::invalid_argument,
                std::string(query.empty() ? "query" : "documents") + ": a text is empty");
  }
  const ModelHandles& handles = model_.handles();
  if (const char* form = llama_model_chat_template(handles.model.get(), "rerank")) {
    return fill_form(handles, form, query, document);
  }
  std::vector<Token> tokens;
  const llama_vocab* vocab = handles.vocab;
  const Token end =
      llama_vocab_eos(vocab) != LLAMA_TOKEN_NULL ? llama_vocab_eos(vocab) : llama_vocab_sep(vocab);
  if (llama_vocab_get_add_bos(vocab)) {
    tokens.push_back(llama_vocab_bos(vocab));
  }
  append(tokens, plain_tokens(query, false, false));
  if (llama_vocab_get_add_eos(vocab)) {
    tokens.push_back(end);
  }
  if (llama_vocab_get_add_sep(vocab)) {
    tokens.push_back(llama_vocab_sep(vocab));
  }
  append(tokens, plain_tokens(document, false, false));
  if (llama_vocab_get_add_eos(vocab)) {
    tokens.push_back(end);
  }
  return tokens;
}

Result<std::vector<std::vector<float>>> Embedder::compute(
    std::span<const std::vector<Token>> inputs) {
  const ModelHandles& handles = model_.handles();
  llama_context* context = handles.context.get();
  llama_batch batch = handles.batch;
  batch.n_tokens = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (std::size_t k = 0; k < inputs[i].size(); ++k) {
      if (batch.n_tokens == handles.batch_tokens) {
        return fail(Code::internal, "a batch is larger than the engine's");
      }
      const std::int32_t at = batch.n_tokens++;
      batch.token[at] = inputs[i][k];
      batch.pos[at] = static_cast<llama_pos>(k);
      batch.n_seq_id[at] = 1;
      batch.seq_id[at][0] = static_cast<llama_seq_id>(i);
      batch.logits[at] = 1;
    }
  }
  std::vector<std::vector<float>> results;
  try {
    if (llama_memory_t memory = llama_get_memory(context)) {
      llama_memory_clear(memory, false);
    }
    if (const std::int32_t status = llama_decode(context, batch); status != 0) {
      return fail(Code::internal, "the engine refused a batch, status " + std::to_string(status));
    }
    const bool ranks = model_.facts().task == Task::rerank;
    const std::size_t width = ranks ? 1 : model_.facts().embedding_width;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const float* values = llama_get_embeddings_seq(context, static_cast<llama_seq_id>(i));
      if (values == nullptr) {
        return fail(Code::internal, "the engine made no vector of an input");
      }
      results.emplace_back(values, values + width);
      if (!ranks) {
        scale_to_one(results.back());
      }
    }
  } catch (const std::exception& error) {
    return fail(Code::internal, std::string("the engine broke: ") + error.what());
  }
  return results;
}

Result<> Embedder::self_test() {
  const std::size_t most = std::min<std::size_t>(kSelfTestTokens, batch_tokens_);
  const auto token = std::min<Token>(100, static_cast<Token>(model_.facts().vocabulary) - 1);
  for (const std::size_t size : {std::size_t{1}, most}) {
    const std::vector<Token> input(size, token);
    TRY(const std::vector<std::vector<float>> made, compute({&input, 1}));
    if (!std::ranges::all_of(made[0], [](float value) { return value - value == 0.0F; })) {
      return fail(Code::internal,
                  "the engine computes values that are not numbers on this machine");
    }
  }
  return {};
}

void shorten(std::vector<float>& vector, std::size_t dimensions) {
  if (dimensions < vector.size()) {
    vector.resize(dimensions);
    scale_to_one(vector);
  }
}

}  // namespace deepmoat::engine
