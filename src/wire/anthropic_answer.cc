// Answers of /v1/messages and of its count of tokens, whole and as the events of the Anthropic
// API: message_start, then for each block content_block_start, _delta and _stop, then
// message_delta and message_stop.
#include <fmt/format.h>

#include "wire/answer_json.h"
#include "wire/sse.h"

namespace deepmoat::wire {

namespace {

std::string_view stop_reason(const Choice& choice) {
  if (choice.reason == FINISH_LENGTH) {
    return "max_tokens";
  }
  if (choice.reason == FINISH_TOOL_CALLS || !choice.tool_calls.empty()) {
    return "tool_use";
  }
  return choice.stop_text.empty() ? "end_turn" : "stop_sequence";
}

Json stop_sequence(const Choice& choice) {
  return choice.stop_text.empty() ? Json(nullptr) : Json(choice.stop_text);
}

// input_tokens leaves out what the cache had.
Json message_usage(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens() - usage.cached_tokens()},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens()},
          {"output_tokens", usage.completion_tokens()}};
}

// Arguments are the model's own text: what is no JSON object is handed on as one member, so that
// the caller sees what was written.
Json tool_input(const std::string& arguments) {
  Json input = Json::parse(arguments.empty() ? "{}" : arguments, nullptr, false);
  return input.is_object() ? input : Json({{"arguments", arguments}});
}

Json message_json(const AnswerHead& head, Json content) {
  return {{"id", head.id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", head.model},
          {"content", std::move(content)},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr}};
}

std::string event(const Json& data) {
  return sse_named_event(data["type"].get_ref<const std::string&>(), dump(data));
}

class MessageWriter final : public AnswerWriter {
 public:
  explicit MessageWriter(AnswerHead head) : head_(std::move(head)) {}

  [[nodiscard]] std::string body(const Answer& answer) const override {
    const Choice& choice = answer.choices.front();
    Json content = Json::array();
    if (!choice.reasoning.empty()) {
      content.push_back({{"type", "thinking"}, {"thinking", choice.reasoning}, {"signature", ""}});
    }
    if (!choice.content.empty() || (choice.tool_calls.empty() && choice.reasoning.empty())) {
      content.push_back({{"type", "text"}, {"text", choice.content}});
    }
    for (const ToolCall& call : choice.tool_calls) {
      content.push_back({{"type", "tool_use"},
                         {"id", call.id()},
                         {"name", call.name()},
                         {"input", tool_input(call.arguments())}});
    }
    Json message = message_json(head_, std::move(content));
    message["stop_reason"] = stop_reason(choice);
    message["stop_sequence"] = stop_sequence(choice);
    message["usage"] = message_usage(answer.usage);
    return dump(message);
  }

  [[nodiscard]] std::string begin() override {
    Json message = message_json(head_, Json::array());
    message["usage"] = message_usage(Usage());  // known at the end: message_delta says it
    return event({{"type", "message_start"}, {"message", message}});
  }

  [[nodiscard]] std::string delta(const Delta& delta) override {
    std::string bytes;
    if (!delta.reasoning().empty()) {
      bytes += open(Block::thinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
      bytes += piece({{"type", "thinking_delta"}, {"thinking", delta.reasoning()}});
    }
    if (!delta.content().empty()) {
      bytes += open(Block::text, {{"type", "text"}, {"text", ""}});
      bytes += piece({{"type", "text_delta"}, {"text", delta.content()}});
    }
    for (const ToolCallDelta& call : delta.tool_calls()) {
      if (block_ != Block::tool || tool_ != call.index()) {
        bytes += close();
        tool_ = call.index();
        bytes += open(Block::tool, {{"type", "tool_use"},
                                    {"id", call.id()},
                                    {"name", call.name()},
                                    {"input", Json::object()}});
      }
      if (!call.arguments().empty()) {
        bytes += piece({{"type", "input_json_delta"}, {"partial_json", call.arguments()}});
      }
    }
    return bytes;
  }

  [[nodiscard]] std::string end(const Answer& answer) override {
    const Choice& choice = answer.choices.front();
    std::string bytes = close();
    bytes +=
        event({{"type", "message_delta"},
               {"delta",
                {{"stop_reason", stop_reason(choice)}, {"stop_sequence", stop_sequence(choice)}}},
               {"usage", message_usage(answer.usage)}});
    bytes += event({{"type", "message_stop"}});
    return bytes;
  }

  [[nodiscard]] std::string failed(const Refusal& refusal,
                                   [[maybe_unused]] const Answer& answer) override {
    const std::string_view prefix = id_prefix(Shape::message);
    std::string_view request_id = head_.id;
    request_id.remove_prefix(request_id.starts_with(prefix) ? prefix.size() : 0);
    return sse_named_event("error", error_body(refusal, ErrorShape::anthropic, request_id));
  }

  [[nodiscard]] std::string keep_alive() const override { return event({{"type", "ping"}}); }

 private:
  enum class Block : std::uint8_t { none, thinking, text, tool };

  std::string open(Block block, Json content_block) {
    if (block_ == block && block != Block::none) {
      return {};
    }
    std::string bytes = close();
    block_ = block;
    bytes += event({{"type", "content_block_start"},
                    {"index", index_},
                    {"content_block", std::move(content_block)}});
    return bytes;
  }

  std::string piece(Json delta) const {
    return event({{"type", "content_block_delta"}, {"index", index_}, {"delta", std::move(delta)}});
  }

  std::string close() {
    if (block_ == Block::none) {
      return {};
    }
    block_ = Block::none;
    return event({{"type", "content_block_stop"}, {"index", index_++}});
  }

  AnswerHead head_;
  Block block_ = Block::none;  // the open one
  std::uint32_t index_ = 0;    // of the open block, or of the next
  std::uint32_t tool_ = 0;     // of the open block's call
};

class TokenCountWriter final : public AnswerWriter {
 public:
  [[nodiscard]] std::string body(const Answer& answer) const override {
    return fmt::format(R"({{"input_tokens":{}}})", answer.usage.prompt_tokens());
  }
};

}  // namespace

std::unique_ptr<AnswerWriter> make_message_writer(AnswerHead head) {
  return std::make_unique<MessageWriter>(std::move(head));
}

std::unique_ptr<AnswerWriter> make_token_count_writer() {
  return std::make_unique<TokenCountWriter>();
}

}  // namespace deepmoat::wire
