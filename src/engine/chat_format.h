// A model's chat template: prompts, how answers are to be read, and what holds them to a schema or
// to tools. llama-common works out a template's format by rendering it dozens of times (10 to 20
// ms); what it finds is kept here, so that most calls render once. Thread-safe. For .cc files of
// this folder only.
#pragma once

#include <chat.h>
#include <llama.h>

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "engine/answer_format.h"
#include "engine/grammar.h"

namespace deepmoat::engine {

// How an answer is to be read and held.
struct AnswerRules {
  std::shared_ptr<const AnswerFormat> format;
  std::shared_ptr<const Constraint> constraint;  // null: anything may come
};

class ChatFormats {
 public:
  // `templates` and `vocab` must outlive this. Without a vocab (tests) nothing is constrained.
  ChatFormats(const common_chat_templates* templates, const llama_vocab* vocab);

  // The prompt's text. May throw what the template throws.
  [[nodiscard]] std::string render(common_chat_templates_inputs inputs) const;

  // The same with the answer's rules. The schema and tools must have passed check_schema().
  // Code::invalid_argument names response_format or tools. May throw what the template throws.
  struct Rendered {
    std::string prompt;
    AnswerRules rules;
  };
  [[nodiscard]] Result<Rendered> read(common_chat_templates_inputs inputs) const;

  // Positions where messages begin, beside the first one.
  [[nodiscard]] std::vector<std::uint32_t> marks(const std::vector<Token>& tokens) const;

  [[nodiscard]] bool thinks() const { return thinks_; }
  [[nodiscard]] bool native_tools() const { return native_tools_; }

 private:
  [[nodiscard]] Result<AnswerRules> make_rules(const common_chat_templates_inputs& inputs,
                                               const common_chat_params& params) const;
  [[nodiscard]] std::shared_ptr<const AnswerFormat> make_format(
      const common_chat_templates_inputs& inputs, const common_chat_params& params) const;
  [[nodiscard]] Result<std::shared_ptr<const Constraint>> make_constraint(
      const common_chat_templates_inputs& inputs, const common_chat_params& params) const;
  [[nodiscard]] bool generic(const common_chat_templates_inputs& inputs) const;
  [[nodiscard]] std::optional<AnswerRules> kept(const std::string& key) const;
  void keep(const std::string& key, const AnswerRules& rules) const;

  const common_chat_templates* templates_;
  const llama_vocab* vocab_;
  bool special_ = true;  // llama-common has code for this template alone
  bool thinks_ = false;
  bool native_tools_ = false;
  std::string thinking_start_;
  std::vector<std::string> thinking_ends_;
  common_chat_msg_delimiters delimiters_;

  mutable std::mutex mutex_;
  mutable std::list<std::pair<std::string, AnswerRules>> kept_;  // used last first
};

}  // namespace deepmoat::engine
