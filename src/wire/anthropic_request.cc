// /v1/messages and /v1/messages/count_tokens of the Anthropic API.
#include <fmt/format.h>

#include <array>

#include "base/limits.h"
#include "wire/api_readers.h"
#include "wire/call_fields.h"
#include "wire/chat_fields.h"
#include "wire/tool_fields.h"

namespace deepmoat::wire {

namespace {

constexpr std::array<Unsupported, 3> kUnsupported = {{
    {"mcp_servers", "call tools through 'tools'"},
    {"container", ""},
    {"functions", "send 'tools'"},
}};

OrRefusal<std::string> text_of(const Object& block, const std::string& at, std::string_view name) {
  TRY(auto text, in(at, read_text(block, name)));
  if (!text) {
    return refuse_missing(fmt::format("{}.{}", at, name));
  }
  return *std::move(text);
}

// One message of theirs is one or more of ours: each tool_result is a message of role "tool".
class MessageReader {
 public:
  MessageReader(ChatPrompt& chat, ToolCallLog& calls, std::string role)
      : chat_(chat), calls_(calls), role_(std::move(role)) {}

  OrRefusal<> content(const Element& content, const std::string& at) {
    std::string_view text;
    if (content.get(text) == simdjson::SUCCESS) {
      open().set_content(std::string(text));
      return {};
    }
    simdjson::dom::array blocks;
    if (content.get(blocks) != simdjson::SUCCESS) {
      return refuse_type(at, "a string or a list of blocks");
    }
    std::size_t index = 0;
    for (const Element element : blocks) {
      const std::string place = fmt::format("{}[{}]", at, index);
      Object block;
      if (element.get(block) != simdjson::SUCCESS) {
        return refuse_type(place, "an object");
      }
      CHECK_OK(take(block, place));
      ++index;
    }
    if (index == 0) {
      open();
    }
    return {};
  }

 private:
  // The message that further blocks go into.
  ChatMessage& open() {
    if (open_ == nullptr) {
      open_ = chat_.add_messages();
      open_->set_role(role_);
    }
    return *open_;
  }

  OrRefusal<> take(const Object& block, const std::string& at) {
    const bool assistant = role_ == "assistant";
    TRY(const auto type, in(at, read_text(block, "type")));
    if (type == "text") {
      TRY(const std::string text, text_of(block, at, "text"));
      open().mutable_content()->append(text);
      return {};
    }
    if (type == "thinking" && assistant) {
      TRY(const std::string text, text_of(block, at, "thinking"));
      open().mutable_reasoning_content()->append(text);
      return {};
    }
    if (type == "redacted_thinking" && assistant) {
      return {};  // nobody can read it
    }
    if (type == "tool_use" && assistant) {
      return tool_use(block, at);
    }
    if (type == "tool_result" && !assistant) {
      return tool_result(block, at);
    }
    return refuse_part(at, type.value_or(""));
  }

  OrRefusal<> tool_use(const Object& block, const std::string& at) {
    if (open().tool_calls_size() >= static_cast<int>(limits::kToolCallsMax)) {
      return refuse(
          at, fmt::format("A message may hold at most {} calls of tools.", limits::kToolCallsMax));
    }
    ToolCall& call = *open().add_tool_calls();
    TRY(std::string id, text_of(block, at, "id"));
    call.set_id(std::move(id));
    TRY(std::string name, text_of(block, at, "name"));
    call.set_name(std::move(name));
    TRY(const auto input, in(at, read_object(block, "input")));
    call.set_arguments(input ? json_text(*input) : "{}");
    return calls_.note(call, at);
  }

  OrRefusal<> tool_result(const Object& block, const std::string& at) {
    TRY(std::string id, text_of(block, at, "tool_use_id"));
    CHECK_OK(calls_.check_answer(id, at + ".tool_use_id"));
    std::string text;
    if (const auto content = find_field(block, "content")) {
      TRY(text, read_content(*content, at + ".content"));
    }
    ChatMessage& message = *chat_.add_messages();
    message.set_role("tool");
    message.set_tool_call_id(std::move(id));
    message.set_content(std::move(text));
    open_ = nullptr;  // the list may have moved, and what follows comes after it
    return {};
  }

  ChatPrompt& chat_;
  ToolCallLog& calls_;
  std::string role_;
  ChatMessage* open_ = nullptr;
};

OrRefusal<> read_system(const Object& object, ChatPrompt& chat) {
  const auto system = find_field(object, "system");
  if (!system) {
    return {};
  }
  TRY(std::string text, read_content(*system, "system"));
  ChatMessage& message = *chat.add_messages();
  message.set_role("system");
  message.set_content(std::move(text));
  return {};
}

// A last message of the assistant is the beginning of the answer.
OrRefusal<> read_continuation(ChatPrompt& chat) {
  const ChatMessage& last = *chat.messages().rbegin();
  if (last.role() != "assistant") {
    return {};
  }
  if (last.tool_calls_size() > 0) {
    return refuse("messages", "The last message calls tools; send their 'tool_result' after it.");
  }
  chat.set_continue_last(true);
  return {};
}

OrRefusal<> read_messages(const Object& object, ChatPrompt& chat) {
  TRY(const auto list, read_list(object, "messages"));
  if (!list) {
    return refuse_missing("messages");
  }
  if (list->size() == 0 || list->size() > limits::kMessagesMax) {
    return refuse("messages",
                  fmt::format("'messages' must hold 1 to {} messages.", limits::kMessagesMax));
  }
  ToolCallLog calls;
  std::size_t index = 0;
  for (const Element element : *list) {
    const std::string at = fmt::format("messages[{}]", index);
    Object fields;
    if (element.get(fields) != simdjson::SUCCESS) {
      return refuse_type(at, "an object");
    }
    TRY(auto role, in(at, read_text(fields, "role")));
    if (role != "user" && role != "assistant") {
      return refuse(at + ".role", fmt::format("'{}.role' must be user or assistant; what the "
                                              "system says goes into 'system'.",
                                              at));
    }
    const auto content = find_field(fields, "content");
    if (!content) {
      return refuse_missing(at + ".content");
    }
    CHECK_OK(MessageReader(chat, calls, *std::move(role)).content(*content, at + ".content"));
    ++index;
  }
  return read_continuation(chat);
}

OrRefusal<> read_tool_choice(const Object& object, ToolList& tools) {
  TRY(const auto choice, read_object(object, "tool_choice"));
  if (!choice) {
    return {};
  }
  TRY(const auto one, in("tool_choice", read_bool(*choice, "disable_parallel_tool_use")));
  tools.allow_parallel(!one.value_or(false));
  TRY(const auto type, in("tool_choice", read_text(*choice, "type")));
  if (type == "tool") {
    TRY(std::string name, text_of(*choice, "tool_choice", "name"));
    return tools.choose(TOOL_NAMED, std::move(name));
  }
  if (type != "auto" && type != "any" && type != "none") {
    return refuse("tool_choice.type", "'tool_choice.type' must be auto, any, tool or none.");
  }
  return tools.choose(type == "any" ? TOOL_REQUIRED : type == "none" ? TOOL_NONE : TOOL_AUTO);
}

OrRefusal<> read_tools(const Object& object, ChatPrompt& chat) {
  ToolList tools(chat);
  tools.allow_parallel(true);
  CHECK_OK(read_tool_list(object, [&](const Object& fields, const std::string& at) -> OrRefusal<> {
    TRY(const auto type, in(at, read_text(fields, "type")));
    if (type.value_or("custom") != "custom") {
      return refuse_unsupported(at + ".type",
                                "tools that the server would run itself are not offered");
    }
    return tools.add(fields, "input_schema", at);
  }));
  return read_tool_choice(object, tools);
}

OrRefusal<> read_output_config(const Object& object, InferRequest& infer) {
  TRY(const auto config, read_object(object, "output_config"));
  if (!config) {
    return {};
  }
  TRY(const auto effort, in("output_config", read_text(*config, "effort")));
  if (effort) {
    CHECK_OK(set_effort(*effort, "output_config.effort", *infer.mutable_chat()));
  }
  TRY(const auto format, in("output_config", read_object(*config, "format")));
  return format ? read_format(*format, "output_config.format", false, infer) : OrRefusal<>();
}

// What /v1/messages and its count of tokens share.
OrRefusal<> read_prompt(const Object& object, InferenceCall& call) {
  CHECK_OK(read_model(object, call));
  CHECK_OK(refuse_fields(object, kUnsupported));
  ChatPrompt& chat = *call.infer.mutable_chat();
  CHECK_OK(read_system(object, chat));
  CHECK_OK(read_messages(object, chat));
  CHECK_OK(read_tools(object, chat));
  CHECK_OK(read_output_config(object, call.infer));
  CHECK_OK(read_thinking(object, call.infer));
  call.infer.set_n(1);
  return {};
}

}  // namespace

OrRefusal<InferenceCall> read_message_call(const Object& object) {
  InferenceCall call;
  call.shape = Shape::message;
  CHECK_OK(read_prompt(object, call));
  TRY(const auto max_tokens, read_integer(object, "max_tokens", 1, kAnswerTokensMax));
  if (!max_tokens) {
    return refuse_missing("max_tokens");
  }
  call.infer.set_max_tokens(static_cast<std::uint32_t>(*max_tokens));
  TRY(const auto stream, read_bool(object, "stream"));
  call.stream = stream.value_or(false);
  CHECK_OK(read_stop(object, "stop_sequences", call.infer));
  CHECK_OK(read_scheduling(object, call.infer));
  CHECK_OK(read_sampling(object, call));
  return call;
}

OrRefusal<InferenceCall> read_token_count(const Object& object) {
  InferenceCall call;
  call.shape = Shape::token_count;
  CHECK_OK(read_prompt(object, call));
  call.infer.set_count_only(true);
  return call;
}

}  // namespace deepmoat::wire
