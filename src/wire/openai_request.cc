// /v1/chat/completions and /v1/completions of the OpenAI API, with the extras of DeepSeek, vLLM
// and llama.cpp that change an answer; and POST /api/predict, which takes the same fields.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "wire/api_readers.h"
#include "wire/call_fields.h"
#include "wire/chat_fields.h"
#include "wire/tool_fields.h"

namespace deepmoat::wire {

namespace {

constexpr std::uint32_t kCompletionTokensDefault = 16;  // OpenAI's default for /v1/completions

constexpr std::string_view kUseFormat = "use 'response_format'";
constexpr std::array<Unsupported, 12> kUnsupported = {{
    {"audio", ""},
    {"prediction", ""},
    {"web_search_options", ""},
    {"chat_template", "the model's own template is used"},
    {"json_schema", kUseFormat},
    {"structured_outputs", kUseFormat},
    {"guided_json", kUseFormat},
    {"guided_choice", kUseFormat},
    {"guided_regex", "use 'grammar'"},
    {"guided_grammar", "use 'grammar'"},
    {"functions",
     R"(send "tools": [{"type": "function", "function": {...}}], which took its place)"},
    {"suffix", "/v1/completions takes it"},
}};

// Fields that chat, completions and predict share. `fallback_tokens` 0: as many as fit.
OrRefusal<> read_shared(const Object& object, InferenceCall& call, std::uint32_t fallback_tokens) {
  TRY(const auto max_tokens, read_integer(object, "max_tokens", 1, kAnswerTokensMax));
  TRY(const auto max_completion,
      read_integer(object, "max_completion_tokens", 1, kAnswerTokensMax));
  call.infer.set_max_tokens(
      static_cast<std::uint32_t>(max_completion.value_or(max_tokens.value_or(fallback_tokens))));
  TRY(const auto n, read_integer(object, "n", 1, limits::kChoicesMax));
  call.infer.set_n(static_cast<std::uint32_t>(n.value_or(1)));
  TRY(const auto best_of, read_integer(object, "best_of", 1, 1'000'000));
  if (best_of.value_or(1) > 1) {
    return refuse_unsupported("best_of", "ask for 'n' answers");
  }
  CHECK_OK(read_stream(object, call));
  CHECK_OK(read_scheduling(object, call.infer));
  CHECK_OK(read_stop(object, "stop", call.infer));
  TRY(const auto format, read_object(object, "response_format"));
  if (format) {
    CHECK_OK(read_format(*format, "response_format", true, call.infer));
  }
  CHECK_OK(read_grammar(object, call.infer));
  return read_sampling(object, call);
}

// --- tools ---

OrRefusal<> read_tools(const Object& object, ChatPrompt& chat) {
  if (!asks_nothing(object, "function_call")) {
    return refuse_unsupported("function_call", "send 'tool_choice', which took its place");
  }
  ToolList tools(chat);
  CHECK_OK(read_tool_list(object, [&](const Object& fields, const std::string& at) -> OrRefusal<> {
    CHECK_OK(check_is_function(fields, at));
    TRY(const auto function, in(at, read_object(fields, "function")));
    if (!function) {
      return refuse_missing(at + ".function");
    }
    return tools.add(*function, "parameters", at + ".function");
  }));
  return read_function_choice(object, "function", tools);
}

// --- messages ---

bool is_role(std::string_view role) {
  return role == "system" || role == "developer" || role == "user" || role == "assistant" ||
         role == "tool";
}

OrRefusal<> read_tool_call(const Element& element, const std::string& at, ToolCallLog& calls,
                           ChatMessage& message) {
  Object fields;
  if (element.get(fields) != simdjson::SUCCESS) {
    return refuse_type(at, "an object");
  }
  TRY(const auto type, in(at, read_text(fields, "type")));
  if (type.value_or("function") != "function") {
    return refuse_unsupported(at + ".type", "it must be 'function'");
  }
  TRY(const auto function, in(at, read_object(fields, "function")));
  if (!function) {
    return refuse_missing(at + ".function");
  }
  ToolCall& call = *message.add_tool_calls();
  TRY(auto id, in(at, read_text(fields, "id")));
  call.set_id(std::move(id).value_or(""));
  TRY(auto name, in(at + ".function", read_text(*function, "name")));
  call.set_name(std::move(name).value_or(""));
  TRY(auto arguments, in(at + ".function", read_text(*function, "arguments")));
  call.set_arguments(std::move(arguments).value_or(""));
  return calls.note(call, at);
}

OrRefusal<> read_tool_calls(const Object& fields, const std::string& at, ToolCallLog& calls,
                            ChatMessage& message) {
  if (!asks_nothing(fields, "function_call")) {
    return refuse_unsupported(at + ".function_call", "send 'tool_calls', which took its place");
  }
  TRY(const auto list, in(at, read_list(fields, "tool_calls")));
  if (!list || list->size() == 0) {
    return {};
  }
  const std::string place = at + ".tool_calls";
  if (message.role() != "assistant") {
    return refuse(place, fmt::format("'{}': only an assistant's message calls tools.", place));
  }
  if (list->size() > limits::kToolCallsMax) {
    return refuse(place,
                  fmt::format("'{}' may hold at most {} calls.", place, limits::kToolCallsMax));
  }
  std::size_t index = 0;
  for (const Element element : *list) {
    CHECK_OK(read_tool_call(element, fmt::format("{}[{}]", place, index), calls, message));
    ++index;
  }
  return {};
}

// An assistant's message that the answer goes on with: DeepSeek's `prefix`.
OrRefusal<> read_prefix(const Object& fields, const std::string& at, bool last, ChatPrompt& chat) {
  TRY(const auto prefix, in(at, read_bool(fields, "prefix")));
  if (!prefix.value_or(false)) {
    return {};
  }
  if (!last || chat.messages().rbegin()->role() != "assistant") {
    return refuse(at + ".prefix", fmt::format("'{}.prefix' may only stand in the last message, "
                                              "and that must be the assistant's.",
                                              at));
  }
  chat.set_continue_last(true);
  return {};
}

OrRefusal<> read_message(const Element& element, std::size_t index, bool last, ToolCallLog& calls,
                         ChatPrompt& chat) {
  const std::string at = fmt::format("messages[{}]", index);
  Object fields;
  if (element.get(fields) != simdjson::SUCCESS) {
    return refuse_type(at, "an object");
  }
  TRY(const auto role, in(at, read_text(fields, "role")));
  if (role == "function") {
    return refuse_unsupported(at + ".role", "send role 'tool' with 'tool_call_id'");
  }
  if (!role || !is_role(*role)) {
    return refuse(at + ".role",
                  fmt::format("'{}.role' must be system, developer, user, assistant or tool.", at));
  }
  ChatMessage& message = *chat.add_messages();
  message.set_role(*role);
  CHECK_OK(read_tool_calls(fields, at, calls, message));
  if (const auto content = find_field(fields, "content")) {
    TRY(std::string text, read_content(*content, at + ".content"));
    message.set_content(std::move(text));
  } else if (*role != "assistant") {
    return refuse_missing(at + ".content");
  }
  TRY(auto reasoning, in(at, read_text(fields, "reasoning_content")));
  message.set_reasoning_content(std::move(reasoning).value_or(""));
  TRY(auto name, in(at, read_text(fields, "name")));
  message.set_name(std::move(name).value_or(""));
  TRY(auto tool_call_id, in(at, read_text(fields, "tool_call_id")));
  message.set_tool_call_id(std::move(tool_call_id).value_or(""));
  if (*role == "tool") {
    CHECK_OK(calls.check_answer(message.tool_call_id(), at + ".tool_call_id"));
  }
  return read_prefix(fields, at, last, chat);
}

OrRefusal<> read_messages(const Object& object, ChatPrompt& chat) {
  TRY(const auto list, read_list(object, "messages"));
  if (!list) {
    return refuse_missing("messages");
  }
  const std::size_t count = list->size();
  if (count == 0 || count > limits::kMessagesMax) {
    return refuse("messages",
                  fmt::format("'messages' must hold 1 to {} messages.", limits::kMessagesMax));
  }
  ToolCallLog calls;
  std::size_t index = 0;
  for (const Element message : *list) {
    CHECK_OK(read_message(message, index, index + 1 == count, calls, chat));
    ++index;
  }
  TRY(const auto go_on, read_bool(object, "continue_final_message"));
  if (go_on.value_or(false)) {
    if (chat.messages().rbegin()->role() != "assistant") {
      return refuse("continue_final_message",
                    "'continue_final_message' needs a last message of the assistant.");
    }
    chat.set_continue_last(true);
  }
  return {};
}

// --- thinking ---

// vLLM's and SGLang's way to turn thinking on and off.
OrRefusal<> read_template_arguments(const Object& object, ChatPrompt& chat) {
  TRY(const auto arguments, read_object(object, "chat_template_kwargs"));
  if (!arguments) {
    return {};
  }
  for (const auto [name, value] : *arguments) {
    bool flag = false;
    std::string_view word;
    const std::string at = fmt::format("chat_template_kwargs.{}", name);
    if (name == "enable_thinking" || name == "thinking") {
      if (value.get(flag) != simdjson::SUCCESS) {
        return refuse_type(at, "true or false");
      }
      chat.set_thinking(flag);
    } else if (name == "reasoning_effort") {
      if (value.get(word) != simdjson::SUCCESS) {
        return refuse_type(at, "a string");
      }
      CHECK_OK(set_effort(std::string(word), at, chat));
    } else {
      return refuse_unsupported(at, "only enable_thinking, thinking and reasoning_effort are");
    }
  }
  return {};
}

OrRefusal<> read_reasoning(const Object& object, InferRequest& infer) {
  ChatPrompt& chat = *infer.mutable_chat();
  TRY(const auto effort, read_text(object, "reasoning_effort"));
  if (effort) {
    CHECK_OK(set_effort(*effort, "reasoning_effort", chat));
  }
  CHECK_OK(read_template_arguments(object, chat));
  CHECK_OK(read_thinking(object, infer));
  for (const std::string_view name : {"thinking_token_budget", "reasoning_budget_tokens"}) {
    TRY(const auto budget, read_integer(object, name, 0, kAnswerTokensMax));
    if (budget) {
      infer.set_reasoning_budget(static_cast<std::uint32_t>(*budget));
    }
  }
  return {};
}

OrRefusal<> read_chat_logprobs(const Object& object, InferRequest& infer) {
  TRY(const auto logprobs, read_bool(object, "logprobs"));
  TRY(const auto top, read_top_logprobs(object, "top_logprobs"));
  infer.set_logprobs(logprobs.value_or(false));
  if (!infer.logprobs() && top.value_or(0) > 0) {
    return refuse("top_logprobs", "'top_logprobs' needs 'logprobs': true.");
  }
  infer.set_top_logprobs(top.value_or(0));
  return {};
}

// --- prompts of completions ---

// A text, or a list of token ids.
OrRefusal<> read_one_prompt(const Element& element, const std::string& at, InferRequest& infer) {
  simdjson::dom::array ids;
  if (element.get(ids) == simdjson::SUCCESS) {
    return read_tokens(ids, at, *infer.mutable_tokens());
  }
  std::string_view text;
  if (element.get(text) != simdjson::SUCCESS) {
    return refuse_type(at, "a string or a list of token ids");
  }
  if (text.empty()) {
    return refuse(at, fmt::format("'{}' is empty.", at));
  }
  infer.set_text(std::string(text));
  return {};
}

// One prompt, or a list of them.
OrRefusal<> read_prompts(const Object& object, InferenceCall& call) {
  const std::string at = "prompt";
  const auto element = find_field(object, at);
  if (!element) {
    return refuse_missing(at);
  }
  simdjson::dom::array list;
  if (element->get(list) != simdjson::SUCCESS || holds_numbers(list)) {
    return read_one_prompt(*element, at, call.infer);
  }
  if (list.size() == 0 || list.size() > limits::kPromptsMax) {
    return refuse(at, fmt::format("'{}' holds {} prompts and must hold 1 to {}.", at, list.size(),
                                  limits::kPromptsMax));
  }
  std::size_t index = 0;
  for (const Element prompt : list) {
    InferRequest& to = index == 0 ? call.infer : call.further_prompts.emplace_back();
    CHECK_OK(read_one_prompt(prompt, fmt::format("{}[{}]", at, index), to));
    ++index;
  }
  return {};
}

// `suffix`: the answer goes between it and the prompt, which may then be empty.
OrRefusal<> read_fill(const Object& object, const std::string& suffix, InferRequest& infer) {
  Fill& fill = *infer.mutable_fill();
  TRY(auto prompt, read_text(object, "prompt"));
  fill.set_prefix(std::move(prompt).value_or(""));
  fill.set_suffix(suffix);
  return {};
}

OrRefusal<> read_completion_logprobs(const Object& object, InferRequest& infer) {
  const auto element = find_field(object, "logprobs");
  bool flag = true;
  if (!element || (element->get(flag) == simdjson::SUCCESS && !flag)) {
    return {};
  }
  TRY(const auto top, read_top_logprobs(object, "logprobs"));
  infer.set_logprobs(true);
  infer.set_top_logprobs(top.value_or(0));
  return {};
}

OrRefusal<> refuse_tools(const Object& object) {
  static constexpr std::array<Unsupported, 2> kFields = {
      {{"tools", "/v1/chat/completions takes it"}, {"messages", "/v1/chat/completions takes it"}}};
  return refuse_fields(object, kFields);
}

OrRefusal<> read_chat(const Object& object, InferenceCall& call) {
  CHECK_OK(read_messages(object, *call.infer.mutable_chat()));
  CHECK_OK(read_tools(object, *call.infer.mutable_chat()));
  CHECK_OK(read_reasoning(object, call.infer));
  return read_chat_logprobs(object, call.infer);
}

}  // namespace

OrRefusal<InferenceCall> read_chat_completion(const Object& object) {
  InferenceCall call;
  call.shape = Shape::chat;
  CHECK_OK(read_model(object, call));
  CHECK_OK(refuse_fields(object, kUnsupported));
  if (!asks_nothing(object, "echo")) {
    return refuse_unsupported("echo", "/v1/completions takes it");
  }
  CHECK_OK(read_shared(object, call, 0));
  CHECK_OK(read_chat(object, call));
  return call;
}

OrRefusal<InferenceCall> read_completion(const Object& object) {
  InferenceCall call;
  call.shape = Shape::completion;
  CHECK_OK(read_model(object, call));
  CHECK_OK(refuse_fields(object, std::span(kUnsupported).first(kUnsupported.size() - 1)));
  CHECK_OK(refuse_tools(object));
  CHECK_OK(read_shared(object, call, kCompletionTokensDefault));
  CHECK_OK(read_completion_logprobs(object, call.infer));
  TRY(const auto suffix, read_text(object, "suffix"));
  TRY(const auto echo, read_bool(object, "echo"));
  if (suffix && !suffix->empty()) {
    if (echo.value_or(false)) {
      return refuse("echo", "'echo' and 'suffix' cannot be used together.");
    }
    CHECK_OK(read_fill(object, *suffix, call.infer));
    return call;
  }
  call.infer.set_echo(echo.value_or(false));
  CHECK_OK(read_prompts(object, call));
  return call;
}

OrRefusal<InferenceCall> read_predict(const Object& object) {
  InferenceCall call;
  call.shape = Shape::predict;
  CHECK_OK(read_optional_model(object, call));
  CHECK_OK(refuse_fields(object, kUnsupported));
  for (const std::string_view name : {"stream", "logprobs", "tools", "echo"}) {
    if (!asks_nothing(object, name)) {
      return refuse_unsupported(std::string(name), "use /v1/chat/completions");
    }
  }
  CHECK_OK(read_shared(object, call, 0));
  CHECK_OK(read_reasoning(object, call.infer));
  if (find_field(object, "messages")) {
    CHECK_OK(read_messages(object, *call.infer.mutable_chat()));
    return call;
  }
  // A bare prompt is one user's turn: the caller wants an answer, not a continuation.
  const std::string name = find_field(object, "input") ? "input" : "prompt";
  TRY(auto text, read_text(object, name));
  if (!text) {
    return refuse_missing(name);
  }
  if (text->empty()) {
    return refuse(name, fmt::format("'{}' is empty.", name));
  }
  ChatMessage& message = *call.infer.mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content(*std::move(text));
  return call;
}

}  // namespace deepmoat::wire
