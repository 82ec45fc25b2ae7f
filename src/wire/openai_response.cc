#include "wire/openai_response.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "wire/sse.h"

namespace deepmoat::wire {

namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json usage_json(const Usage& usage) {
  Json json;
  json["prompt_tokens"] = usage.prompt_tokens();
  json["completion_tokens"] = usage.completion_tokens();
  json["total_tokens"] = usage.prompt_tokens() + usage.completion_tokens();
  json["prompt_tokens_details"] = {{"cached_tokens", usage.cached_tokens()}};
  json["completion_tokens_details"] = {{"reasoning_tokens", usage.reasoning_tokens()}};
  // DeepSeek's names of the same; their sum is prompt_tokens.
  json["prompt_cache_hit_tokens"] = usage.cached_tokens();
  json["prompt_cache_miss_tokens"] = usage.prompt_tokens() - usage.cached_tokens();
  return json;
}

Json chat_choice(std::size_t index, const Choice& choice) {
  Json message = {{"role", "assistant"}, {"content", choice.content}, {"refusal", nullptr}};
  if (!choice.reasoning.empty()) {
    message["reasoning_content"] = choice.reasoning;
  }
  return {{"index", index},
          {"message", message},
          {"logprobs", nullptr},
          {"finish_reason", finish_reason_name(choice.reason)}};
}

Json completion_choice(std::size_t index, const Choice& choice) {
  return {{"index", index},
          {"text", choice.content},
          {"logprobs", nullptr},
          {"finish_reason", finish_reason_name(choice.reason)}};
}

Json predict_body(const AnswerHead& head, const std::vector<Choice>& choices, const Usage& usage) {
  Json body = {{"id", head.id}, {"created", head.created_s}, {"model", head.model}};
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
  body["usage"] = usage_json(usage);
  return body;
}

Json listing_json(const ModelListing& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created_s},
          {"owned_by", "deepmoat"}};
}

}  // namespace

std::string json_string(std::string_view text) {
  return dump(Json(text));
}

std::string_view finish_reason_name(FinishReason reason) {
  return reason == FINISH_LENGTH ? "length" : "stop";
}

std::string answer_body(const AnswerHead& head, const std::vector<Choice>& choices,
                        const Usage& usage) {
  if (head.shape == Shape::predict) {
    return dump(predict_body(head, choices, usage));
  }
  const bool chat = head.shape == Shape::chat;
  Json body = {{"id", head.id},
               {"object", chat ? "chat.completion" : "text_completion"},
               {"created", head.created_s},
               {"model", head.model}};
  Json list = Json::array();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    list.push_back(chat ? chat_choice(i, choices[i]) : completion_choice(i, choices[i]));
  }
  body["choices"] = std::move(list);
  body["usage"] = usage_json(usage);
  body["system_fingerprint"] = nullptr;
  return dump(body);
}

ChunkWriter::ChunkWriter(const AnswerHead& head, bool include_usage)
    : chat_(head.shape == Shape::chat), include_usage_(include_usage) {
  prefix_ = fmt::format(
      R"({{"id":{},"object":"{}","created":{},"model":{},"system_fingerprint":null,"choices":)",
      json_string(head.id), chat_ ? "chat.completion.chunk" : "text_completion", head.created_s,
      json_string(head.model));
}

std::string ChunkWriter::chunk(std::string_view choices) const {
  return sse_event(
      fmt::format("{}{}{}}}", prefix_, choices, include_usage_ ? R"(,"usage":null)" : ""));
}

std::string ChunkWriter::role(std::uint32_t index) const {
  if (!chat_) {
    return {};
  }
  return chunk(fmt::format(R"([{{"index":{},"delta":{{"role":"assistant","content":""}},)"
                           R"("logprobs":null,"finish_reason":null}}])",
                           index));
}

std::string ChunkWriter::delta(const Delta& delta) const {
  if (!chat_) {
    return chunk(fmt::format(R"([{{"index":{},"text":{},"logprobs":null,"finish_reason":null}}])",
                             delta.index(), json_string(delta.content())));
  }
  std::string fields;
  if (!delta.reasoning().empty()) {
    fields = fmt::format(R"("reasoning_content":{})", json_string(delta.reasoning()));
  }
  if (!delta.content().empty()) {
    fields +=
        fmt::format(R"({}"content":{})", fields.empty() ? "" : ",", json_string(delta.content()));
  }
  return chunk(
      fmt::format(R"([{{"index":{},"delta":{{{}}},"logprobs":null,"finish_reason":null}}])",
                  delta.index(), fields));
}

std::string ChunkWriter::finished(std::uint32_t index, FinishReason reason) const {
  return chunk(fmt::format(R"([{{"index":{},{},"logprobs":null,"finish_reason":"{}"}}])", index,
                           chat_ ? R"("delta":{})" : R"("text":"")", finish_reason_name(reason)));
}

std::string ChunkWriter::usage(const Usage& usage) const {
  if (!include_usage_) {
    return {};
  }
  return sse_event(fmt::format(R"({}[],"usage":{}}})", prefix_, dump(usage_json(usage))));
}

std::string models_body(const std::vector<ModelListing>& models) {
  Json list = Json::array();
  for (const ModelListing& model : models) {
    list.push_back(listing_json(model));
  }
  return dump({{"object", "list"}, {"data", list}});
}

std::string model_body(const ModelListing& model) {
  return dump(listing_json(model));
}

}  // namespace deepmoat::wire
