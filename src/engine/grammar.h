// What the text of an answer may be: llama.cpp's grammars (GBNF), compiled within limits. For .cc
// files of this folder only.
#pragma once

#include <llama.h>

#include <memory>
#include <regex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model.h"

struct llama_grammar;

namespace deepmoat::engine {

// A place in a grammar. Copies are independent. Different ones may be used on different threads.
class Grammar {
 public:
  // Code::invalid_argument with the reason: a text that is no grammar, or would take too much.
  [[nodiscard]] static Result<Grammar> compile(const llama_vocab* vocab, const std::string& gbnf);

  Grammar(const Grammar& other);
  Grammar& operator=(const Grammar&) = delete;
  Grammar(Grammar&& other) noexcept;
  Grammar& operator=(Grammar&& other) noexcept;
  ~Grammar();

  // The answer may end here.
  [[nodiscard]] bool may_end() const;
  [[nodiscard]] bool allows(Token token) const;
  // Gives the tokens that must not come now a logit of minus infinity.
  void mask(std::span<llama_token_data> tokens) const;

  // Goes on by a token or text; false when that is not allowed, or when following the grammar
  // takes too much. Then the answer must end. REQUIRES: not called again after false.
  [[nodiscard]] bool accept(Token token);
  [[nodiscard]] bool accept_text(std::string_view text);

 private:
  explicit Grammar(llama_grammar* grammar);
  struct Free {
    void operator()(llama_grammar* grammar) const;
  };
  std::unique_ptr<llama_grammar, Free> grammar_;
};

// A grammar and from where on it holds.
struct Constraint {
  Grammar grammar;              // at its beginning
  bool after_thinking = false;  // while the model thinks, anything may come
  bool lazy = false;            // only from the first of these on
  std::vector<std::string> trigger_words = {};
  std::vector<Token> trigger_tokens = {};
  std::vector<std::regex> trigger_patterns = {};
};

// Refuses GBNF text whose compiled form would be large, and repetitions that llama.cpp would
// silently take for endless ones.
[[nodiscard]] Result<> check_grammar_size(std::string_view gbnf);

// Refuses a JSON schema that cannot be held to in full, or whose grammar would be large. Its
// message names the place. `exact`: also keywords that llama.cpp would ignore.
[[nodiscard]] Result<> check_schema(const std::string& json, bool exact);

}  // namespace deepmoat::engine
