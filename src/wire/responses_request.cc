// /v1/responses of the OpenAI API, without state on the server: each request brings its whole
// history.
#include <fmt/format.h>

#include <array>

#include "base/limits.h"
#include "wire/api_readers.h"
#include "wire/call_fields.h"
#include "wire/chat_fields.h"
#include "wire/tool_fields.h"

namespace deepmoat::wire {

namespace {

constexpr std::string_view kNoState =
    "this server keeps no responses: send the whole history in 'input'";
constexpr std::array<Unsupported, 4> kUnsupported = {{
    {"previous_response_id", kNoState},
    {"conversation", kNoState},
    {"background", "the answer comes in this request, or as a stream"},
    {"prompt", "send its text in 'instructions' and 'input'"},
}};

// The items of `input`, in order. What one turn of the assistant brought (thinking, text, calls)
// is one message of a chat.
class ItemReader {
 public:
  explicit ItemReader(ChatPrompt& chat) : chat_(chat) {}

  OrRefusal<> take(const Object& item, const std::string& at) {
    TRY(const auto type, in(at, read_text(item, "type")));
    if (!type || *type == "message") {
      return message(item, at);
    }
    if (*type == "function_call") {
      return function_call(item, at);
    }
    if (*type == "function_call_output") {
      return function_call_output(item, at);
    }
    if (*type == "reasoning") {
      return reasoning(item, at);
    }
    return refuse_unsupported(at + ".type", *type == "item_reference" ? kNoState : "");
  }

 private:
  // The assistant's turn that is being written.
  ChatMessage& turn() {
    if (chat_.messages_size() == 0 || chat_.messages().rbegin()->role() != "assistant") {
      chat_.add_messages()->set_role("assistant");
    }
    return *chat_.mutable_messages(chat_.messages_size() - 1);
  }

  OrRefusal<> message(const Object& item, const std::string& at) {
    TRY(auto role, in(at, read_text(item, "role")));
    if (role != "user" && role != "system" && role != "developer" && role != "assistant") {
      return refuse(at + ".role",
                    fmt::format("'{}.role' must be user, system, developer or assistant.", at));
    }
    const auto content = find_field(item, "content");
    if (!content) {
      return refuse_missing(at + ".content");
    }
    TRY(std::string text, read_content(*content, at + ".content"));
    if (role == "assistant" && turn().content().empty() && turn().tool_calls_size() == 0) {
      turn().set_content(std::move(text));
      return {};
    }
    ChatMessage& added = *chat_.add_messages();
    added.set_role(*std::move(role));
    added.set_content(std::move(text));
    return {};
  }

  OrRefusal<> function_call(const Object& item, const std::string& at) {
    ChatMessage& message = turn();
    if (message.tool_calls_size() >= static_cast<int>(limits::kToolCallsMax)) {
      return refuse(at,
                    fmt::format("At most {} calls may follow each other.", limits::kToolCallsMax));
    }
    ToolCall& call = *message.add_tool_calls();
    TRY(auto id, in(at, read_text(item, "call_id")));
    call.set_id(std::move(id).value_or(""));
    TRY(auto name, in(at, read_text(item, "name")));
    call.set_name(std::move(name).value_or(""));
    TRY(auto arguments, in(at, read_text(item, "arguments")));
    call.set_arguments(std::move(arguments).value_or(""));
    if (call.id().empty()) {
      return refuse_missing(at + ".call_id");
    }
    return calls_.note(call, at);
  }

  OrRefusal<> function_call_output(const Object& item, const std::string& at) {
    TRY(auto id, in(at, read_text(item, "call_id")));
    CHECK_OK(calls_.check_answer(id.value_or(""), at + ".call_id"));
    const auto output = find_field(item, "output");
    if (!output) {
      return refuse_missing(at + ".output");
    }
    TRY(std::string text, read_content(*output, at + ".output"));
    ChatMessage& message = *chat_.add_messages();
    message.set_role("tool");
    message.set_tool_call_id(*std::move(id));
    message.set_content(std::move(text));
    return {};
  }

  OrRefusal<> reasoning(const Object& item, const std::string& at) {
    TRY(const auto parts, in(at, read_list(item, "content")));
    if (!parts) {
      return {};  // a summary alone is for people
    }
    std::string joined;
    for (const Element part : *parts) {
      std::string_view text;
      if (part.at_key("text").get(text) != simdjson::SUCCESS) {
        return refuse_type(at + ".content", "a list of parts with a 'text'");
      }
      joined += text;
    }
    turn().mutable_reasoning_content()->append(joined);
    return {};
  }

  ChatPrompt& chat_;
  ToolCallLog calls_;
};

void add_text(ChatPrompt& chat, std::string role, std::string text) {
  ChatMessage& message = *chat.add_messages();
  message.set_role(std::move(role));
  message.set_content(std::move(text));
}

OrRefusal<> read_input(const Object& object, ChatPrompt& chat) {
  TRY(auto instructions, read_text(object, "instructions"));
  if (instructions) {
    add_text(chat, "system", *std::move(instructions));
  }
  const auto element = find_field(object, "input");
  if (!element) {
    return refuse_missing("input");
  }
  std::string_view text;
  if (element->get(text) == simdjson::SUCCESS) {
    add_text(chat, "user", std::string(text));
    return {};
  }
  simdjson::dom::array list;
  if (element->get(list) != simdjson::SUCCESS) {
    return refuse_type("input", "a string or a list of items");
  }
  if (list.size() == 0 || list.size() > limits::kMessagesMax) {
    return refuse("input", fmt::format("'input' must hold 1 to {} items.", limits::kMessagesMax));
  }
  ItemReader items(chat);
  std::size_t index = 0;
  for (const Element item : list) {
    const std::string at = fmt::format("input[{}]", index);
    Object fields;
    if (item.get(fields) != simdjson::SUCCESS) {
      return refuse_type(at, "an object");
    }
    CHECK_OK(items.take(fields, at));
    ++index;
  }
  return {};
}

OrRefusal<> read_tools(const Object& object, ChatPrompt& chat) {
  ToolList tools(chat);
  CHECK_OK(read_tool_list(object, [&](const Object& fields, const std::string& at) -> OrRefusal<> {
    CHECK_OK(check_is_function(fields, at));
    return tools.add(fields, "parameters", at);
  }));
  return read_function_choice(object, "", tools);
}

OrRefusal<> read_text_options(const Object& object, InferRequest& infer) {
  TRY(const auto text, read_object(object, "text"));
  if (!text) {
    return {};
  }
  TRY(const auto format, in("text", read_object(*text, "format")));
  return format ? read_format(*format, "text.format", false, infer) : OrRefusal<>();
}

OrRefusal<> read_logprobs(const Object& object, InferRequest& infer) {
  TRY(const auto top, read_top_logprobs(object, "top_logprobs"));
  TRY(const auto include, read_list(object, "include"));
  bool wanted = top.value_or(0) > 0;
  if (include) {
    for (const Element item : *include) {
      std::string_view name;
      wanted =
          wanted || (item.get(name) == simdjson::SUCCESS && name == "message.output_text.logprobs");
    }
  }
  infer.set_logprobs(wanted);
  infer.set_top_logprobs(top.value_or(0));
  return {};
}

OrRefusal<> read_effort(const Object& object, ChatPrompt& chat) {
  TRY(const auto reasoning, read_object(object, "reasoning"));
  if (!reasoning) {
    return {};
  }
  TRY(const auto effort, in("reasoning", read_text(*reasoning, "effort")));
  return effort ? set_effort(*effort, "reasoning.effort", chat) : OrRefusal<>();
}

// Members of the answer that repeat the request, with the API's defaults, as JSON text.
std::string settings(const Object& object) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kMembers = {{
      {"instructions", "null"},
      {"max_output_tokens", "null"},
      {"metadata", "{}"},
      {"parallel_tool_calls", "true"},
      {"reasoning", R"({"effort":null,"summary":null})"},
      {"temperature", "1.0"},
      {"text", R"({"format":{"type":"text"}})"},
      {"tool_choice", R"("auto")"},
      {"tools", "[]"},
      {"top_logprobs", "0"},
      {"top_p", "1.0"},
      {"user", "null"},
  }};
  std::string text;
  for (const auto& [name, fallback] : kMembers) {
    const auto element = find_field(object, name);
    text += fmt::format(R"({}"{}":{})", text.empty() ? "" : ",", name,
                        element ? json_text(*element) : std::string(fallback));
  }
  return text;
}

}  // namespace

OrRefusal<InferenceCall> read_response_call(const Object& object) {
  InferenceCall call;
  call.shape = Shape::response;
  CHECK_OK(read_model(object, call));
  CHECK_OK(refuse_fields(object, kUnsupported));
  TRY(const auto truncation, read_text(object, "truncation"));
  if (truncation.value_or("disabled") != "disabled") {
    return refuse_unsupported("truncation", "it must be 'disabled'");
  }
  ChatPrompt& chat = *call.infer.mutable_chat();
  CHECK_OK(read_input(object, chat));
  CHECK_OK(read_tools(object, chat));
  CHECK_OK(read_effort(object, chat));
  CHECK_OK(read_text_options(object, call.infer));
  CHECK_OK(read_logprobs(object, call.infer));
  TRY(const auto max_tokens, read_integer(object, "max_output_tokens", 1, kAnswerTokensMax));
  call.infer.set_max_tokens(static_cast<std::uint32_t>(max_tokens.value_or(0)));
  TRY(const auto stream, read_bool(object, "stream"));
  call.stream = stream.value_or(false);
  CHECK_OK(read_scheduling(object, call.infer));
  CHECK_OK(read_sampling(object, call));
  call.infer.set_n(1);
  call.options.settings = settings(object);
  return call;
}

}  // namespace deepmoat::wire
