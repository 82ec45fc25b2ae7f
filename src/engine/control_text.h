// Texts of control tokens that users typed. A message that holds "<|im_end|>" would close its turn
// when the rendered prompt is tokenised as one. Such occurrences are marked before the template
// runs and tokenised apart, as plain text:
//
//   occurrence "<|im_end|>"  ->  M "<" M "|im_end|>" M      M: a noncharacter that no text holds
//
// After rendering, the parts between marks are template, first, rest, template, first, rest, ...
// The inner mark keeps the template's own logic from acting on the text. For .cc files of this
// folder only.
#pragma once

#include <chat.h>
#include <llama.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model.h"

namespace deepmoat::engine {

// `first`: the text begins the prompt. `special`: texts of control tokens become control tokens.
[[nodiscard]] std::vector<Token> tokenise(const llama_vocab* vocab, std::string_view text,
                                          bool first, bool special);

// Finds control texts in what users wrote.
class ControlTexts {
 public:
  // `texts`: longest first; must outlive this.
  explicit ControlTexts(const std::vector<std::string>& texts);

  [[nodiscard]] bool found_in(std::string_view text) const;
  [[nodiscard]] std::string marked(std::string_view text, std::string_view mark) const;
  // JSON: inside its strings and names, however they are escaped. What is no JSON is a text.
  [[nodiscard]] bool found_in_json(const std::string& json) const;
  [[nodiscard]] std::string marked_json(const std::string& json, std::string_view mark) const;

 private:
  [[nodiscard]] std::size_t match(std::string_view text, std::size_t at) const;

  const std::vector<std::string>& texts_;
  std::array<bool, 256> starts_{};
};

// What a chat's template gets from users.
[[nodiscard]] bool holds_control_text(const ControlTexts& control,
                                      const common_chat_templates_inputs& inputs);

// Marks every control text; nullopt when no mark is free. Gives the mark.
[[nodiscard]] std::optional<std::string> mark_control_texts(const ControlTexts& control,
                                                            common_chat_templates_inputs& inputs);

// Tokenises a rendered prompt whose control texts are marked. `first` as above.
[[nodiscard]] Result<std::vector<Token>> tokenise_marked(const llama_vocab* vocab,
                                                         std::string_view text,
                                                         std::string_view mark, bool first = true);

}  // namespace deepmoat::engine
