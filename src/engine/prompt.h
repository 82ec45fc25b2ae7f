// From messages or text to tokens. What users wrote is data: no control token comes out of it.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model.h"

namespace deepmoat::engine {

struct Message {
  std::string role;  // system, developer, user, assistant or tool
  std::string content;
  std::string reasoning_content;
  std::string tool_call_id;
  std::string name;
};

// How the answer to one prompt is to be read (reasoning tags, stop texts of the template).
struct AnswerFormat;  // engine/answer_format.h

struct Prompt {
  std::vector<Token> tokens;
  std::vector<std::uint32_t> marks;            // positions where messages end, rising
  std::shared_ptr<const AnswerFormat> format;  // null: plain text
};

// Renders the model's chat template. Code::invalid_argument when the template refuses the
// messages or the model has none.
[[nodiscard]] Result<Prompt> make_chat_prompt(const Model& model,
                                              const std::vector<Message>& messages);

// The tokens with which every prompt begins whose first message is this system message.
[[nodiscard]] Result<std::vector<Token>> make_system_prefix(const Model& model,
                                                            std::string_view text);

[[nodiscard]] Result<Prompt> make_text_prompt(const Model& model, std::string_view text);

// For tests: the number of control tokens among `tokens`.
[[nodiscard]] std::size_t count_control_tokens(const Model& model,
                                               const std::vector<Token>& tokens);

}  // namespace deepmoat::engine
