// Tools that a model may call, in the shapes of every API, and which tool message answers which
// call. For wire/ alone.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "wire/inference_call.h"
#include "wire/json_reader.h"

namespace deepmoat::wire {

// Gathers the tools of a request and holds them to their limits.
class ToolList {
 public:
  explicit ToolList(ChatPrompt& chat) : chat_(chat) {}

  // `at`: "tools[2]". `schema` absent: the tool takes nothing.
  [[nodiscard]] OrRefusal<> add(const Object& fields, std::string_view schema_name,
                                const std::string& at);
  // Lets the model choose, or binds it: auto, none, required, or one tool by its name.
  [[nodiscard]] OrRefusal<> choose(ToolChoice choice, std::string name = "");
  // Whether an answer may hold several calls.
  void allow_parallel(bool allowed) { chat_.set_parallel_tool_calls(allowed); }

 private:
  ChatPrompt& chat_;
  std::set<std::string> names_;
  std::size_t bytes_ = 0;
};

// Reads the fields of one tool, which came in `at` ("tools[2]").
using ReadTool = std::function<OrRefusal<>(const Object& fields, const std::string& at)>;
// `tools`: a list of objects, each for `read_one`. It may be absent.
[[nodiscard]] OrRefusal<> read_tool_list(const Object& object, const ReadTool& read_one);
// OpenAI's condition: a tool is a function, and nothing that the server would run itself.
[[nodiscard]] OrRefusal<> check_is_function(const Object& fields, const std::string& at);

// OpenAI's `parallel_tool_calls` and `tool_choice`. A chosen tool's name stands in the object
// `holder` ({"type":"function","function":{"name":...}}), or without one when `holder` is empty.
// REQUIRES: `tools` is complete.
[[nodiscard]] OrRefusal<> read_function_choice(const Object& object, std::string_view holder,
                                               ToolList& tools);

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

}  // namespace deepmoat::wire
