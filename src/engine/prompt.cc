// Prompts that are no chats.
#include "engine/prompt.h"

#include <algorithm>

#include "base/limits.h"
#include "engine/answer_format.h"
#include "engine/control_text.h"
#include "engine/grammar.h"
#include "engine/handles.h"
#include "engine/output_format.h"
#include "engine/piece.h"
#include "engine/text.h"

namespace deepmoat::engine {

namespace {

Result<Prompt> with_output(const Model& model, std::vector<Token> tokens,
                           const OutputFormat& output) {
  Prompt prompt;
  prompt.tokens = std::move(tokens);
  TRY(const std::string schema, schema_of(output));
  Result<std::string> grammar =
      schema.empty() ? Result<std::string>(output.definition) : grammar_of_schema(schema);
  if (!grammar) {
    return fail(grammar.error().code, "response_format.json_schema: " + grammar.error().message);
  }
  if (!grammar->empty()) {
    TRY(prompt.constraint, compile_output(model.handles().vocab, *grammar, false));
  }
  return prompt;
}

}  // namespace

Result<Prompt> make_text_prompt(const Model& model, std::string_view text,
                                const OutputFormat& output) {
  std::vector<Token> tokens = tokenise(model.handles().vocab, text, true, false);
  if (tokens.empty()) {
    return fail(Code::invalid_argument, "prompt: it is empty");
  }
  return with_output(model, std::move(tokens), output);
}

Result<Prompt> make_fill_prompt(const Model& model, std::string_view prefix,
                                std::string_view suffix, const OutputFormat& output) {
  const llama_vocab* vocab = model.handles().vocab;
  const Token before = llama_vocab_fim_pre(vocab);
  const Token after = llama_vocab_fim_suf(vocab);
  const Token middle = llama_vocab_fim_mid(vocab);
  if (before < 0 || after < 0 || middle < 0) {
    return fail(
        Code::not_found,
        "suffix: this model cannot fill in the middle: its vocabulary has no tokens for it");
  }
  std::vector<Token> tokens;
  if (llama_vocab_get_add_bos(vocab) && llama_vocab_bos(vocab) >= 0) {
    tokens.push_back(llama_vocab_bos(vocab));
  }
  const auto add = [&](Token mark, std::string_view text) {
    tokens.push_back(mark);
    const auto made = tokenise(vocab, text, false, false);
    tokens.insert(tokens.end(), made.begin(), made.end());
  };
  add(before, prefix);
  add(after, suffix);
  tokens.push_back(middle);
  return with_output(model, std::move(tokens), output);
}

Result<Prompt> make_token_prompt(const Model& model, std::vector<Token> tokens,
                                 const OutputFormat& output) {
  const auto vocabulary = static_cast<Token>(model.facts().vocabulary);
  if (tokens.empty()) {
    return fail(Code::invalid_argument, "prompt: it is empty");
  }
  const auto wrong =
      std::ranges::find_if(tokens, [&](Token token) { return token < 0 || token >= vocabulary; });
  if (wrong != tokens.end()) {
    return fail(Code::invalid_argument, "prompt: token " + std::to_string(*wrong) +
                                            " is not in the vocabulary; use 0 to " +
                                            std::to_string(vocabulary - 1));
  }
  return with_output(model, std::move(tokens), output);
}

std::string text_of(const Model& model, const std::vector<Token>& tokens) {
  Utf8Stream characters;
  std::string text;
  for (const Token token : tokens) {
    text += characters.feed(piece_of(model.handles().vocab, token, false));
  }
  return text;
}

TokenText text_of_token(const Model& model, Token token) {
  TokenText made;
  made.bytes = piece_of(model.handles().vocab, token, true);
  Utf8Stream characters;
  made.text = characters.feed(made.bytes) + (characters.whole() ? "" : "\xEF\xBF\xBD");
  return made;
}

std::size_t count_control_tokens(const Model& model, const std::vector<Token>& tokens) {
  return static_cast<std::size_t>(std::ranges::count_if(
      tokens, [&](Token token) { return llama_vocab_is_control(model.handles().vocab, token); }));
}

}  // namespace deepmoat::engine
