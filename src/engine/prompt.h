// From messages or text to tokens. What users wrote is data: no control token comes out of it.
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model.h"

namespace deepmoat::engine {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text
};

struct Message {
  std::string role;  // system, developer, user, assistant or tool
  std::string content = {};
  std::string reasoning_content = {};
  std::string tool_call_id = {};
  std::string name = {};
  std::vector<ToolCall> tool_calls = {};
};

struct Tool {
  std::string name;
  std::string description;
  std::string parameters;  // JSON schema; empty: none
};

enum class ToolChoice : std::uint8_t { automatic, none, required, named };

// What the text of an answer must be.
struct OutputFormat {
  enum class Kind : std::uint8_t { text, json_object, json_schema, grammar };
  Kind kind = Kind::text;
  std::string definition = {};  // the schema's JSON, or GBNF
};

struct ChatRequest {
  std::vector<Message> messages;
  std::vector<Tool> tools = {};
  ToolChoice tool_choice = ToolChoice::automatic;
  std::string tool_name = {};  // of ToolChoice::named
  bool parallel_tool_calls = true;
  std::optional<bool> thinking = std::nullopt;  // absent: as the template does
  std::string reasoning_effort = {};            // empty: the template's default
  bool continue_last = false;  // the last message is the assistant's: go on writing it
  OutputFormat output = {};
};

// How the answer to one prompt is to be read (reasoning tags, stop texts of the template).
struct AnswerFormat;  // engine/answer_format.h
// What it is held to.
struct Constraint;  // engine/grammar.h

struct Prompt {
  std::vector<Token> tokens;
  std::vector<std::uint32_t> marks;              // positions where messages end, rising
  std::shared_ptr<const AnswerFormat> format;    // null: plain text
  std::shared_ptr<const Constraint> constraint;  // null: anything may come
};

// Errors of these name the field at fault first ("messages: ..."). Code::invalid_argument: what
// was asked for is wrong; Code::not_found: this model has no such thing.

// Renders the model's chat template.
[[nodiscard]] Result<Prompt> make_chat_prompt(const Model& model, const ChatRequest& request);

// The tokens with which every prompt begins whose first message is this system message.
[[nodiscard]] Result<std::vector<Token>> make_system_prefix(const Model& model,
                                                            std::string_view text);

[[nodiscard]] Result<Prompt> make_text_prompt(const Model& model, std::string_view text,
                                              const OutputFormat& output = {});

// Fill in the middle: the answer is what stands between the two texts.
[[nodiscard]] Result<Prompt> make_fill_prompt(const Model& model, std::string_view prefix,
                                              std::string_view suffix,
                                              const OutputFormat& output = {});

[[nodiscard]] Result<Prompt> make_token_prompt(const Model& model, std::vector<Token> tokens,
                                               const OutputFormat& output = {});

// The text of tokens; bytes that are not UTF-8 as U+FFFD. Control tokens have none.
[[nodiscard]] std::string text_of(const Model& model, const std::vector<Token>& tokens);

// One token, also a control token.
struct TokenText {
  std::string text;  // bytes that are not UTF-8 as U+FFFD
  std::string bytes;
};
[[nodiscard]] TokenText text_of_token(const Model& model, Token token);

// For tests: the number of control tokens among `tokens`.
[[nodiscard]] std::size_t count_control_tokens(const Model& model,
                                               const std::vector<Token>& tokens);

}  // namespace deepmoat::engine
