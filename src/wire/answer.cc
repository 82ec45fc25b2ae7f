#include "wire/answer.h"

#include <algorithm>
#include <cmath>

#include "wire/answer_json.h"
#include "wire/sse.h"

namespace deepmoat::wire {

namespace {

void take_tool_call(const ToolCallDelta& piece, std::vector<ToolCall>& calls) {
  if (piece.index() > calls.size()) {
    return;  // its beginning is missing
  }
  if (piece.index() == calls.size()) {
    calls.emplace_back();
  }
  ToolCall& call = calls[piece.index()];
  if (!piece.id().empty()) {
    call.set_id(piece.id());
  }
  if (!piece.name().empty()) {
    call.set_name(piece.name());
  }
  call.mutable_arguments()->append(piece.arguments());
}

}  // namespace

bool Answer::take(const Delta& delta) {
  if (delta.index() >= choices.size()) {
    return false;
  }
  Choice& choice = choices[delta.index()];
  choice.content += delta.content();
  choice.reasoning += delta.reasoning();
  for (const ToolCallDelta& piece : delta.tool_calls()) {
    take_tool_call(piece, choice.tool_calls);
  }
  choice.logprobs.insert(choice.logprobs.end(), delta.logprobs().begin(), delta.logprobs().end());
  return true;
}

void Answer::take(const ChoiceFinished& done) {
  if (done.index() < choices.size()) {
    choices[done.index()].reason = done.reason();
    choices[done.index()].stop_text = done.stop_text();
  }
}

void Answer::take(const Vectors& part) {
  const std::size_t at = static_cast<std::size_t>(part.first()) * part.width();
  if (at != vectors.size() || (width != 0 && width != part.width())) {
    return;  // parts come in order; a gap would put vectors under the wrong inputs
  }
  width = part.width();
  vectors.insert(vectors.end(), part.values().begin(), part.values().end());
}

void Answer::take(const Scores& part) {
  scores.insert(scores.end(), part.values().begin(), part.values().end());
}

std::string AnswerWriter::delta([[maybe_unused]] const Delta& delta) {
  return {};
}

std::string AnswerWriter::end([[maybe_unused]] const Answer& answer) {
  return {};
}

std::string AnswerWriter::failed(const Refusal& refusal, [[maybe_unused]] const Answer& answer) {
  return sse_event(error_body(refusal));
}

std::string AnswerWriter::keep_alive() const {
  return std::string(kSseKeepAlive);
}

std::string_view id_prefix(Shape shape) {
  switch (shape) {
    case Shape::chat:
      return "chatcmpl-";
    case Shape::completion:
      return "cmpl-";
    case Shape::predict:
      return "pred-";
    case Shape::embeddings:
      return "embd-";
    case Shape::rerank:
      return "rerank-";
    case Shape::message:
    case Shape::token_count:
      return "msg_";
    case Shape::response:
      return "resp_";
  }
  return "";
}

std::unique_ptr<AnswerWriter> make_answer_writer(AnswerHead head, AnswerOptions options) {
  switch (head.shape) {
    case Shape::chat:
      return make_chat_writer(std::move(head), std::move(options));
    case Shape::completion:
      return make_completion_writer(std::move(head), std::move(options));
    case Shape::predict:
      return make_predict_writer(std::move(head));
    case Shape::embeddings:
      return make_embeddings_writer(std::move(head), std::move(options));
    case Shape::rerank:
      return make_rerank_writer(std::move(head), std::move(options));
    case Shape::message:
      return make_message_writer(std::move(head));
    case Shape::token_count:
      return make_token_count_writer();
    case Shape::response:
      return make_response_writer(std::move(head), std::move(options));
  }
  return nullptr;
}

// --- JSON ---

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_string(std::string_view text) {
  return dump(Json(text));
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

double finite(float logprob) {
  constexpr double kNever = -9999;
  return std::isfinite(logprob) ? std::max(static_cast<double>(logprob), kNever) : kNever;
}

namespace {

Json token_json(const TokenLogprob& token) {
  Json bytes = Json::array();
  for (const char byte : token.raw()) {
    bytes.push_back(static_cast<unsigned char>(byte));
  }
  return {{"token", token.token()}, {"logprob", finite(token.logprob())}, {"bytes", bytes}};
}

}  // namespace

Json logprob_json(const Logprob& logprob) {
  Json json = token_json(logprob.chosen());
  json["top_logprobs"] = Json::array();
  for (const TokenLogprob& token : logprob.top()) {
    json["top_logprobs"].push_back(token_json(token));
  }
  return json;
}

Json logprobs_json(const std::vector<Logprob>& logprobs) {
  Json list = Json::array();
  for (const Logprob& logprob : logprobs) {
    list.push_back(logprob_json(logprob));
  }
  return list;
}

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FINISH_LENGTH:
      return "length";
    case FINISH_TOOL_CALLS:
      return "tool_calls";
    default:
      return "stop";
  }
}

}  // namespace deepmoat::wire
