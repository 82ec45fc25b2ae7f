// Answers of /v1/responses, whole and as its events.
#include <fmt/format.h>

#include "wire/answer_json.h"
#include "wire/sse.h"

namespace deepmoat::wire {

namespace {

Json response_usage(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens()},
          {"input_tokens_details",
           {{"cached_tokens", usage.cached_tokens()}, {"cache_write_tokens", 0}}},
          {"output_tokens", usage.completion_tokens()},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens()}}},
          {"total_tokens", usage.prompt_tokens() + usage.completion_tokens()}};
}

Json text_part(const std::string& text, const std::vector<Logprob>& logprobs) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", Json::array()},
          {"logprobs", logprobs_json(logprobs)}};
}

Json reasoning_part(const std::string& text) {
  return {{"type", "reasoning_text"}, {"text", text}};
}

enum class Kind : std::uint8_t { none, reasoning, text, call };

// One item of the output, as far as it has come.
struct Item {
  Kind kind = Kind::none;
  std::string id;
  std::string text;  // or arguments
  ToolCall call;
  std::vector<Logprob> logprobs;

  [[nodiscard]] Json part() const {
    return kind == Kind::reasoning ? reasoning_part(text) : text_part(text, logprobs);
  }
  [[nodiscard]] Json json(std::string_view status) const {
    switch (kind) {
      case Kind::reasoning:
        return {{"id", id},
                {"type", "reasoning"},
                {"summary", Json::array()},
                {"content", text.empty() ? Json::array() : Json::array({part()})},
                {"status", status}};
      case Kind::call:
        return {{"id", id},
                {"type", "function_call"},
                {"call_id", call.id()},
                {"name", call.name()},
                {"arguments", text},
                {"status", status}};
      default:
        return {{"id", id},
                {"type", "message"},
                {"role", "assistant"},
                {"content", status == "in_progress" ? Json::array() : Json::array({part()})},
                {"status", status}};
    }
  }
};

class ResponseWriter final : public AnswerWriter {
 public:
  ResponseWriter(AnswerHead head, AnswerOptions options)
      : head_(std::move(head)), settings_(std::move(options.settings)) {}

  [[nodiscard]] std::string body(const Answer& answer) const override {
    return response(answer, items_of(answer.choices.front()));
  }

  [[nodiscard]] std::string begin() override {
    // One after the other: operands of + may be evaluated in any order, and events are numbered.
    std::string bytes = event("response.created", response_member("in_progress"));
    bytes += event("response.in_progress", response_member("in_progress"));
    return bytes;
  }

  [[nodiscard]] std::string delta(const Delta& delta) override {
    std::string bytes;
    if (!delta.reasoning().empty()) {
      bytes += open(Kind::reasoning, {});
      item_.text += delta.reasoning();
      bytes += event(
          "response.reasoning_text.delta",
          place() + fmt::format(R"("content_index":0,"delta":{})", json_string(delta.reasoning())));
    }
    const std::vector<Logprob> logprobs(delta.logprobs().begin(), delta.logprobs().end());
    if (!delta.content().empty()) {
      bytes += open(Kind::text, {});
      item_.text += delta.content();
      item_.logprobs.insert(item_.logprobs.end(), logprobs.begin(), logprobs.end());
      bytes +=
          event("response.output_text.delta",
                place() + fmt::format(R"("content_index":0,"delta":{},"logprobs":{})",
                                      json_string(delta.content()), dump(logprobs_json(logprobs))));
    }
    for (const ToolCallDelta& piece : delta.tool_calls()) {
      bytes += call_piece(piece);
    }
    return bytes;
  }

  [[nodiscard]] std::string end(const Answer& answer) override {
    std::string bytes = close();
    const bool whole = answer.choices.front().reason != FINISH_LENGTH;
    return bytes + event(whole ? "response.completed" : "response.incomplete",
                         fmt::format(R"("response":{})", response(answer, done_)));
  }

  [[nodiscard]] std::string failed(const Refusal& refusal, const Answer& answer) override {
    const Json error = {{"code", refusal.code}, {"message", refusal.message}};
    std::string bytes =
        event("error", fmt::format(R"("code":{},"message":{},"param":{})",
                                   json_string(refusal.code), json_string(refusal.message),
                                   refusal.param.empty() ? "null" : json_string(refusal.param)));
    return bytes + event("response.failed",
                         fmt::format(R"("response":{})",
                                     object("failed", error, nullptr, done_, &answer.usage)));
  }

 private:
  // `members` without braces.
  std::string event(std::string_view type, std::string_view members) {
    return sse_named_event(type, fmt::format(R"({{"type":"{}","sequence_number":{},{}}})", type,
                                             sequence_++, members));
  }

  // Where the open item stands, with a comma behind.
  [[nodiscard]] std::string place() const {
    return fmt::format(R"("item_id":{},"output_index":{},)", json_string(item_.id), done_.size());
  }

  [[nodiscard]] std::string response_member(std::string_view status) const {
    return fmt::format(R"("response":{})", object(status, nullptr, nullptr, {}, nullptr));
  }

  std::string open(Kind kind, const ToolCallDelta& call) {
    if (item_.kind == kind && kind != Kind::call) {
      return {};
    }
    std::string bytes = close();
    item_.kind = kind;
    item_.id = item_id(kind, done_.size());
    item_.call.set_id(call.id());
    item_.call.set_name(call.name());
    bytes += event("response.output_item.added",
                   fmt::format(R"("output_index":{},"item":{})", done_.size(),
                               dump(item_.json("in_progress"))));
    if (kind != Kind::call) {
      bytes += event("response.content_part.added",
                     place() + fmt::format(R"("content_index":0,"part":{})", dump(item_.part())));
    }
    return bytes;
  }

  std::string call_piece(const ToolCallDelta& piece) {
    std::string bytes;
    if (item_.kind != Kind::call || call_index_ != piece.index()) {
      bytes += open(Kind::call, piece);
      call_index_ = piece.index();
    }
    if (!piece.arguments().empty()) {
      item_.text += piece.arguments();
      bytes += event("response.function_call_arguments.delta",
                     place() + fmt::format(R"("delta":{})", json_string(piece.arguments())));
    }
    return bytes;
  }

  std::string close() {
    std::string bytes;
    const std::string text = json_string(item_.text);
    switch (item_.kind) {
      case Kind::none:
        return {};
      case Kind::reasoning:
        bytes = event("response.reasoning_text.done",
                      place() + fmt::format(R"("content_index":0,"text":{})", text));
        break;
      case Kind::text:
        bytes = event("response.output_text.done",
                      place() + fmt::format(R"("content_index":0,"text":{},"logprobs":{})", text,
                                            dump(logprobs_json(item_.logprobs))));
        break;
      case Kind::call:
        bytes = event("response.function_call_arguments.done",
                      place() + fmt::format(R"("name":{},"arguments":{})",
                                            json_string(item_.call.name()), text));
        break;
    }
    if (item_.kind != Kind::call) {
      bytes += event("response.content_part.done",
                     place() + fmt::format(R"("content_index":0,"part":{})", dump(item_.part())));
    }
    bytes += event(
        "response.output_item.done",
        fmt::format(R"("output_index":{},"item":{})", done_.size(), dump(item_.json("completed"))));
    done_.push_back(std::exchange(item_, Item()));
    return bytes;
  }

  [[nodiscard]] std::string item_id(Kind kind, std::size_t index) const {
    const std::string_view name = kind == Kind::reasoning ? "rs"
                                  : kind == Kind::call    ? "fc"
                                                          : "msg";
    const std::string_view own = std::string_view(head_.id).substr(head_.id.find('_') + 1);
    return fmt::format("{}_{}_{}", name, own, index);
  }

  [[nodiscard]] std::vector<Item> items_of(const Choice& choice) const {
    std::vector<Item> items;
    const auto add = [&](Kind kind, const std::string& text) -> Item& {
      items.push_back({.kind = kind,
                       .id = item_id(kind, items.size()),
                       .text = text,
                       .call = {},
                       .logprobs = {}});
      return items.back();
    };
    if (!choice.reasoning.empty()) {
      add(Kind::reasoning, choice.reasoning);
    }
    if (!choice.content.empty() || choice.tool_calls.empty()) {
      add(Kind::text, choice.content).logprobs = choice.logprobs;
    }
    for (const ToolCall& call : choice.tool_calls) {
      add(Kind::call, call.arguments()).call = call;
    }
    return items;
  }

  [[nodiscard]] std::string response(const Answer& answer, const std::vector<Item>& items) const {
    const bool cut = answer.choices.front().reason == FINISH_LENGTH;
    return object(cut ? "incomplete" : "completed", nullptr,
                  cut ? Json({{"reason", "max_output_tokens"}}) : Json(nullptr), items,
                  &answer.usage);
  }

  // `usage` null: not known yet.
  [[nodiscard]] std::string object(std::string_view status, const Json& error, const Json& why,
                                   const std::vector<Item>& items, const Usage* usage) const {
    Json output = Json::array();
    for (const Item& item : items) {
      output.push_back(item.json("completed"));
    }
    return fmt::format(
        R"({{"id":{},"object":"response","created_at":{},"status":"{}","background":false,)"
        R"("error":{},"incomplete_details":{},"model":{},"output":{},{},)"
        R"("previous_response_id":null,"store":false,"truncation":"disabled","usage":{}}})",
        json_string(head_.id), head_.created_s, status, dump(error), dump(why),
        json_string(head_.model), dump(output), settings_,
        usage == nullptr ? "null" : dump(response_usage(*usage)));
  }

  AnswerHead head_;
  std::string settings_;  // members that repeat the request
  std::uint64_t sequence_ = 0;
  Item item_;  // the open one
  std::uint32_t call_index_ = 0;
  std::vector<Item> done_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_response_writer(AnswerHead head, AnswerOptions options) {
  return std::make_unique<ResponseWriter>(std::move(head), std::move(options));
}

}  // namespace deepmoat::wire
