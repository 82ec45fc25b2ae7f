// Answers of /v1/chat/completions, /v1/completions and /api/predict.
#include <fmt/format.h>

#include <map>
#include <set>

#include "wire/answer_json.h"
#include "wire/sse.h"

namespace deepmoat::wire {

namespace {

// What both APIs of completions share. With include_usage every chunk says usage: null and one
// more chunk with the usage and no choice comes before [DONE] (OpenAI's API reference).
class CompletionsWriter : public AnswerWriter {
 public:
  CompletionsWriter(AnswerHead head, AnswerOptions options, std::string_view whole,
                    std::string_view piece)
      : head_(std::move(head)), options_(std::move(options)), whole_(whole) {
    prefix_ = fmt::format(
        R"({{"id":{},"object":"{}","created":{},"model":{},"system_fingerprint":null,"choices":)",
        json_string(head_.id), piece, head_.created_s, json_string(head_.model));
  }

  [[nodiscard]] std::string body(const Answer& answer) const override {
    Json body = {
        {"id", head_.id}, {"object", whole_}, {"created", head_.created_s}, {"model", head_.model}};
    Json list = Json::array();
    for (std::size_t i = 0; i < answer.choices.size(); ++i) {
      list.push_back(choice(i, answer.choices[i]));
    }
    body["choices"] = std::move(list);
    body["usage"] = usage_json(answer.usage);
    body["system_fingerprint"] = nullptr;
    return dump(body);
  }

  [[nodiscard]] std::string end(const Answer& answer) override {
    std::string bytes;
    for (std::size_t i = 0; i < answer.choices.size(); ++i) {
      bytes += chunk(fmt::format(R"([{{"index":{},{},"logprobs":null,"finish_reason":"{}"}}])", i,
                                 nothing(), finish_reason_name(answer.choices[i].reason)));
    }
    if (options_.include_usage) {
      bytes +=
          sse_event(fmt::format(R"({}[],"usage":{}}})", prefix_, dump(usage_json(answer.usage))));
    }
    bytes += kSseDone;
    return bytes;
  }

 protected:
  [[nodiscard]] virtual Json choice(std::size_t index, const Choice& choice) const = 0;
  // The member of the last chunk that brings no more text.
  [[nodiscard]] virtual std::string_view nothing() const = 0;

  [[nodiscard]] std::string chunk(std::string_view choices) const {
    return sse_event(fmt::format("{}{}{}}}", prefix_, choices,
                                 options_.include_usage ? R"(,"usage":null)" : ""));
  }

 private:
  AnswerHead head_;
  AnswerOptions options_;
  std::string_view whole_;
  std::string prefix_;  // up to and with `"choices":`
};

Json tool_call_json(const ToolCall& call) {
  return {{"id", call.id()},
          {"type", "function"},
          {"function", {{"name", call.name()}, {"arguments", call.arguments()}}}};
}

Json tool_call_piece(const ToolCallDelta& piece) {
  Json json = {{"index", piece.index()}};
  if (!piece.id().empty()) {
    json["id"] = piece.id();
    json["type"] = "function";
  }
  if (!piece.name().empty()) {
    json["function"]["name"] = piece.name();
  }
  json["function"]["arguments"] = piece.arguments();
  return json;
}

Json chat_logprobs(const std::vector<Logprob>& logprobs) {
  if (logprobs.empty()) {
    return nullptr;
  }
  return {{"content", logprobs_json(logprobs)}, {"refusal", nullptr}};
}

class ChatWriter final : public CompletionsWriter {
 public:
  ChatWriter(AnswerHead head, AnswerOptions options)
      : CompletionsWriter(std::move(head), std::move(options), "chat.completion",
                          "chat.completion.chunk") {}

  [[nodiscard]] std::string delta(const Delta& delta) override {
    std::string bytes;
    if (opened_.insert(delta.index()).second) {
      bytes = chunk(fmt::format(R"([{{"index":{},"delta":{{"role":"assistant","content":""}},)"
                                R"("logprobs":null,"finish_reason":null}}])",
                                delta.index()));
    }
    std::string fields;
    const auto add = [&](std::string_view name, std::string_view json) {
      fields += fmt::format(R"({}"{}":{})", fields.empty() ? "" : ",", name, json);
    };
    if (!delta.reasoning().empty()) {
      add("reasoning_content", json_string(delta.reasoning()));
    }
    if (!delta.content().empty()) {
      add("content", json_string(delta.content()));
    }
    if (delta.tool_calls_size() > 0) {
      Json pieces = Json::array();
      for (const ToolCallDelta& piece : delta.tool_calls()) {
        pieces.push_back(tool_call_piece(piece));
      }
      add("tool_calls", dump(pieces));
    }
    const std::vector<Logprob> logprobs(delta.logprobs().begin(), delta.logprobs().end());
    if (fields.empty() && logprobs.empty()) {
      return bytes;
    }
    return bytes +
           chunk(fmt::format(
               R"([{{"index":{},"delta":{{{}}},"logprobs":{},"finish_reason":null}}])",
               delta.index(), fields, logprobs.empty() ? "null" : dump(chat_logprobs(logprobs))));
  }

 protected:
  [[nodiscard]] Json choice(std::size_t index, const Choice& choice) const override {
    Json message = {{"role", "assistant"}, {"content", choice.content}, {"refusal", nullptr}};
    if (choice.content.empty() && !choice.tool_calls.empty()) {
      message["content"] = nullptr;
    }
    if (!choice.reasoning.empty()) {
      message["reasoning_content"] = choice.reasoning;
    }
    for (const ToolCall& call : choice.tool_calls) {
      message["tool_calls"].push_back(tool_call_json(call));
    }
    return {{"index", index},
            {"message", message},
            {"logprobs", chat_logprobs(choice.logprobs)},
            {"finish_reason", finish_reason_name(choice.reason)}};
  }

  [[nodiscard]] std::string_view nothing() const override { return R"("delta":{})"; }

 private:
  std::set<std::uint32_t> opened_;  // choices whose role has been sent
};

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) {
    count += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
  }
  return count;
}

// The older shape: parallel lists, and where in the text each token begins. `offset` is moved on.
Json legacy_logprobs(const std::vector<Logprob>& logprobs, std::size_t& offset) {
  if (logprobs.empty()) {
    return nullptr;
  }
  Json json = {{"tokens", Json::array()},
               {"token_logprobs", Json::array()},
               {"top_logprobs", Json::array()},
               {"text_offset", Json::array()}};
  for (const Logprob& logprob : logprobs) {
    json["tokens"].push_back(logprob.chosen().token());
    json["token_logprobs"].push_back(finite(logprob.chosen().logprob()));
    Json top = Json::object();
    for (const TokenLogprob& token : logprob.top()) {
      top[token.token()] = finite(token.logprob());
    }
    json["top_logprobs"].push_back(std::move(top));
    json["text_offset"].push_back(offset);
    offset += characters(logprob.chosen().token());
  }
  return json;
}

class CompletionWriter final : public CompletionsWriter {
 public:
  CompletionWriter(AnswerHead head, AnswerOptions options)
      : CompletionsWriter(std::move(head), std::move(options), "text_completion",
                          "text_completion") {}

  [[nodiscard]] std::string delta(const Delta& delta) override {
    std::size_t& offset = offsets_[delta.index()];
    const std::vector<Logprob> logprobs(delta.logprobs().begin(), delta.logprobs().end());
    if (delta.content().empty() && logprobs.empty()) {
      return {};
    }
    const Json json = legacy_logprobs(logprobs, offset);
    if (logprobs.empty()) {
      offset += characters(delta.content());  // the prompt, with `echo`
    }
    return chunk(fmt::format(R"([{{"index":{},"text":{},"logprobs":{},"finish_reason":null}}])",
                             delta.index(), json_string(delta.content()), dump(json)));
  }

 protected:
  [[nodiscard]] Json choice(std::size_t index, const Choice& choice) const override {
    std::size_t length = 0;
    for (const Logprob& logprob : choice.logprobs) {
      length += characters(logprob.chosen().token());
    }
    const std::size_t all = characters(choice.content);
    std::size_t offset = all > length ? all - length : 0;
    return {{"index", index},
            {"text", choice.content},
            {"logprobs", legacy_logprobs(choice.logprobs, offset)},
            {"finish_reason", finish_reason_name(choice.reason)}};
  }

  [[nodiscard]] std::string_view nothing() const override { return R"("text":"")"; }

 private:
  std::map<std::uint32_t, std::size_t> offsets_;  // characters of each choice so far
};

class PredictWriter final : public AnswerWriter {
 public:
  explicit PredictWriter(AnswerHead head) : head_(std::move(head)) {}

  [[nodiscard]] std::string body(const Answer& answer) const override {
    const std::vector<Choice>& choices = answer.choices;
    Json body = {{"id", head_.id}, {"created", head_.created_s}, {"model", head_.model}};
    body["output"] = choices.front().content;
    if (!choices.front().reasoning.empty()) {
      body["reasoning"] = choices.front().reasoning;
    }
    if (choices.size() > 1) {
      body["outputs"] = Json::array();
      for (const Choice& choice : choices) {
        body["outputs"].push_back(choice.content);
      }
    }
    body["finish_reason"] = finish_reason_name(choices.front().reason);
    body["usage"] = usage_json(answer.usage);
    return dump(body);
  }

 private:
  AnswerHead head_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_chat_writer(AnswerHead head, AnswerOptions options) {
  return std::make_unique<ChatWriter>(std::move(head), std::move(options));
}

std::unique_ptr<AnswerWriter> make_completion_writer(AnswerHead head, AnswerOptions options) {
  return std::make_unique<CompletionWriter>(std::move(head), std::move(options));
}

std::unique_ptr<AnswerWriter> make_predict_writer(AnswerHead head) {
  return std::make_unique<PredictWriter>(std::move(head));
}

}  // namespace deepmoat::wire
