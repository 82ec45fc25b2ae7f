// Parts of a chat that every API writes in its own way: contents, tools, and which tool message
// answers which call. For wire/ alone.
#pragma once

#include <set>
#include <string>

#include "wire/inference_call.h"
#include "wire/json_reader.h"

namespace deepmoat::wire {

// The text of a content: a string, or a list of parts with text under the name of their type
// (`refusal`) or under "text". Pictures, sound and files are refused by name.
[[nodiscard]] OrRefusal<std::string> read_content(const Element& content, const std::string& at);

// The refusal of a part that is no text.
[[nodiscard]] std::unexpected<Refusal> refuse_part(const std::string& at, std::string_view type);

// Gathers the tools of a request and holds them to their limits.
class ToolList {
 public:
  explicit ToolList(ChatPrompt& chat) : chat_(chat) {}

  // A list of `count` tools is about to come.
  [[nodiscard]] static OrRefusal<> check_count(std::size_t count);
  // `at`: "tools[2]". `schema` absent: the tool takes nothing.
  [[nodiscard]] OrRefusal<> add(const Object& fields, std::string_view schema_name,
                                const std::string& at);
  // Lets the model choose, or binds it: auto, none, required, or one tool by its name.
  [[nodiscard]] OrRefusal<> choose(ToolChoice choice, std::string name = "");

 private:
  ChatPrompt& chat_;
  std::set<std::string> names_;
  std::size_t bytes_ = 0;
};

// Which calls of tools there are to answer.
class ToolCallLog {
 public:
  // The calls of an assistant message; refuses a call without an id or a name.
  [[nodiscard]] OrRefusal<> note(const ToolCall& call, const std::string& at);
  // Refuses an answer to a call that nobody made.
  [[nodiscard]] OrRefusal<> check_answer(const std::string& id, const std::string& param) const;

 private:
  std::set<std::string> ids_;
};

// How much a model may think. `word` is low, medium, high...; "none" turns thinking off.
[[nodiscard]] OrRefusal<> set_effort(const std::string& word, const std::string& param,
                                     ChatPrompt& chat);
// `thinking`: {"type": "enabled" | "disabled" | "adaptive", "budget_tokens": n}, as DeepSeek and
// Anthropic have it.
[[nodiscard]] OrRefusal<> read_thinking(const Object& object, InferRequest& infer);

}  // namespace deepmoat::wire
