#include "wire/openai_request.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

#include "base/limits.h"
#include "wire/json_reader.h"

namespace deepmoat::wire {

struct RequestReader::Parser {
  simdjson::dom::parser parser;
};

RequestReader::RequestReader() : parser_(std::make_unique<Parser>()) {}
RequestReader::~RequestReader() = default;
RequestReader::RequestReader(RequestReader&&) noexcept = default;
RequestReader& RequestReader::operator=(RequestReader&&) noexcept = default;

namespace {

std::unexpected<Refusal> refuse(std::string param, std::string message,
                                std::string code = "invalid_value") {
  return std::unexpected(invalid(std::move(param), std::move(message), std::move(code)));
}

OrRefusal<Object> parse_object(simdjson::dom::parser& parser, std::string_view body) {
  if (parser.capacity() < body.size() || parser.max_depth() != limits::kJsonDepthMax) {
    if (parser.allocate(std::max<std::size_t>(body.size(), 4096), limits::kJsonDepthMax) !=
        simdjson::SUCCESS) {
      return std::unexpected(to_refusal({Code::unavailable, "No memory for this request body."}));
    }
  }
  if (body.data() == nullptr) {
    body = "";  // simdjson copies from where it points, even nothing
  }
  Element root;
  // `true`: copied with the padding that the parser reads past the end.
  const auto error = parser.parse(body.data(), body.size(), true).get(root);
  if (error == simdjson::DEPTH_ERROR) {
    return refuse(
        "", fmt::format("The request body nests deeper than {} levels.", limits::kJsonDepthMax),
        "json_too_deep");
  }
  if (error != simdjson::SUCCESS) {
    return refuse(
        "", fmt::format("The request body is not valid JSON: {}", simdjson::error_message(error)),
        "invalid_json");
  }
  Object object;
  if (root.get(object) != simdjson::SUCCESS) {
    return refuse("", "The request body must be a JSON object.", "invalid_json");
  }
  return object;
}

// Fields that change the answer and that this version does not serve: refused, not ignored.
OrRefusal<> refuse_unsupported(const Object& object) {
  static constexpr std::array<std::string_view, 12> kFields = {
      "tools",    "functions",    "suffix",
      "audio",    "best_of",      "prediction",
      "logprobs", "top_logprobs", "web_search_options",
      "echo",     "grammar",      "json_schema"};
  for (const std::string_view name : kFields) {
    const auto element = find_field(object, name);
    if (!element) {
      continue;
    }
    bool flag = true;
    std::int64_t number = 1;
    simdjson::dom::array list;
    const bool off =
        (element->get(flag) == simdjson::SUCCESS && !flag) ||
        (element->get(number) == simdjson::SUCCESS && number <= (name == "best_of" ? 1 : 0)) ||
        (element->get(list) == simdjson::SUCCESS && list.size() == 0);
    if (!off) {
      return refuse(std::string(name), fmt::format("'{}' is not supported by this server.", name),
                    "unsupported_parameter");
    }
  }
  const auto format = find_field(object, "response_format");
  std::string_view type;
  if (format && (format->at_key("type").get(type) != simdjson::SUCCESS || type != "text")) {
    return refuse("response_format",
                  "'response_format' may only be {\"type\": \"text\"} on this server.",
                  "unsupported_parameter");
  }
  return {};
}

OrRefusal<> read_stop(const Object& object, InferRequest& infer) {
  const auto element = find_field(object, "stop");
  if (!element) {
    return {};
  }
  const auto add = [&](const Element& item) -> OrRefusal<> {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) {
      return refuse("stop", "'stop' must be a string or a list of strings.", "invalid_type");
    }
    if (text.empty() || text.size() > limits::kStopSequenceBytesMax) {
      return refuse("stop", fmt::format("Each 'stop' must have 1 to {} bytes.",
                                        limits::kStopSequenceBytesMax));
    }
    infer.add_stop(std::string(text));
    return {};
  };
  simdjson::dom::array list;
  if (element->get(list) != simdjson::SUCCESS) {
    return add(*element);
  }
  if (list.size() > limits::kStopSequencesMax) {
    return refuse("stop",
                  fmt::format("'stop' may hold at most {} strings.", limits::kStopSequencesMax));
  }
  for (const Element item : list) {
    CHECK_OK(add(item));
  }
  return {};
}

OrRefusal<> read_logit_bias(const Object& object, Sampling& sampling) {
  const auto element = find_field(object, "logit_bias");
  if (!element) {
    return {};
  }
  Object biases;
  if (element->get(biases) != simdjson::SUCCESS) {
    return refuse("logit_bias", "'logit_bias' must be an object of token ids and numbers.",
                  "invalid_type");
  }
  if (biases.size() > limits::kLogitBiasMax) {
    return refuse("logit_bias",
                  fmt::format("'logit_bias' may hold at most {} tokens.", limits::kLogitBiasMax));
  }
  for (const auto [key, value] : biases) {
    std::int32_t token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    double bias = 0;
    if (error != std::errc{} || end != key.data() + key.size() || token < 0 ||
        value.get(bias) != simdjson::SUCCESS || !(bias >= -100 && bias <= 100)) {
      return refuse("logit_bias", "'logit_bias' must map token ids to numbers from -100 to 100.");
    }
    (*sampling.mutable_logit_bias())[token] = static_cast<float>(bias);
  }
  return {};
}

OrRefusal<> read_sampling(const Object& object, InferRequest& infer) {
  Sampling& sampling = *infer.mutable_sampling();
  TRY(const auto temperature, read_number(object, "temperature", 0, 2));
  TRY(const auto top_p, read_number(object, "top_p", 0, 1));
  TRY(const auto min_p, read_number(object, "min_p", 0, 1));
  TRY(const auto top_k, read_integer(object, "top_k", -1, 1'000'000));
  TRY(const auto presence, read_number(object, "presence_penalty", -2, 2));
  TRY(const auto frequency, read_number(object, "frequency_penalty", -2, 2));
  TRY(const auto seed, read_integer(object, "seed", std::numeric_limits<std::int64_t>::min(),
                                    std::numeric_limits<std::int64_t>::max()));
  sampling.set_temperature(static_cast<float>(temperature.value_or(1)));
  sampling.set_top_p(static_cast<float>(top_p.value_or(1)));
  sampling.set_min_p(static_cast<float>(min_p.value_or(0)));
  sampling.set_top_k(static_cast<std::int32_t>(std::max<std::int64_t>(top_k.value_or(0), 0)));
  sampling.set_presence_penalty(static_cast<float>(presence.value_or(0)));
  sampling.set_frequency_penalty(static_cast<float>(frequency.value_or(0)));
  if (seed) {
    sampling.set_seed(static_cast<std::uint64_t>(*seed));
  }
  return read_logit_bias(object, sampling);
}

// Fields that chat, completions and predict share. `fallback_tokens` 0: as many as fit.
OrRefusal<> read_shared(const Object& object, InferenceCall& call, std::uint32_t fallback_tokens) {
  CHECK_OK(refuse_unsupported(object));
  TRY(const auto model, read_text(object, "model"));
  call.model = ModelName(model.value_or(""));
  TRY(const auto max_tokens, read_integer(object, "max_tokens", 1, 10'000'000));
  TRY(const auto max_completion, read_integer(object, "max_completion_tokens", 1, 10'000'000));
  call.infer.set_max_tokens(
      static_cast<std::uint32_t>(max_completion.value_or(max_tokens.value_or(fallback_tokens))));
  TRY(const auto n, read_integer(object, "n", 1, limits::kChoicesMax));
  call.infer.set_n(static_cast<std::uint32_t>(n.value_or(1)));
  TRY(const auto stream, read_bool(object, "stream"));
  call.stream = stream.value_or(false);
  TRY(const auto ignore_eos, read_bool(object, "ignore_eos"));
  call.infer.set_ignore_eos(ignore_eos.value_or(false));
  if (const auto options = find_field(object, "stream_options")) {
    Object fields;
    if (options->get(fields) != simdjson::SUCCESS) {
      return refuse("stream_options", "'stream_options' must be an object.", "invalid_type");
    }
    if (!call.stream) {
      return refuse("stream_options", "'stream_options' needs 'stream': true.");
    }
    TRY(const auto include_usage, read_bool(fields, "include_usage"));
    call.include_usage = include_usage.value_or(false);
  }
  CHECK_OK(read_stop(object, call.infer));
  return read_sampling(object, call.infer);
}

OrRefusal<std::string> read_content(const Element& content, const std::string& param) {
  std::string_view text;
  if (content.get(text) == simdjson::SUCCESS) {
    return std::string(text);
  }
  simdjson::dom::array parts;
  if (content.get(parts) != simdjson::SUCCESS) {
    return refuse(param, fmt::format("'{}' must be a string or a list of parts.", param),
                  "invalid_type");
  }
  std::string joined;
  for (const Element part : parts) {
    std::string_view type;
    if (part.at_key("type").get(type) != simdjson::SUCCESS ||
        (type != "text" && type != "refusal")) {
      return refuse(param,
                    fmt::format("'{}' may only hold parts of type 'text' on this server.", param),
                    "unsupported_parameter");
    }
    if (part.at_key(type).get(text) != simdjson::SUCCESS) {
      return refuse(param, fmt::format("A part of '{}' has no string '{}'.", param, type),
                    "invalid_type");
    }
    joined += text;
  }
  return joined;
}

bool is_role(std::string_view role) {
  return role == "system" || role == "developer" || role == "user" || role == "assistant" ||
         role == "tool";
}

// Names the message in the error of one of its fields: "messages[2].role".
template <class T>
OrRefusal<T> in_message(const std::string& at, OrRefusal<T> field) {
  if (!field) {
    field.error().param = at + "." + field.error().param;
  }
  return field;
}

OrRefusal<> read_message(const Element& element, std::size_t index, ChatPrompt& chat) {
  const std::string at = fmt::format("messages[{}]", index);
  Object fields;
  if (element.get(fields) != simdjson::SUCCESS) {
    return refuse(at, fmt::format("'{}' must be an object.", at), "invalid_type");
  }
  TRY(const auto role, in_message(at, read_text(fields, "role")));
  if (!role || !is_role(*role)) {
    return refuse(at + ".role",
                  fmt::format("'{}.role' must be system, developer, user, assistant or tool.", at));
  }
  if (const auto calls = find_field(fields, "tool_calls")) {
    return refuse(at + ".tool_calls", "Tool calls are not supported by this server.",
                  "unsupported_parameter");
  }
  ChatMessage& message = *chat.add_messages();
  message.set_role(*role);
  if (const auto content = find_field(fields, "content")) {
    TRY(std::string text, read_content(*content, at + ".content"));
    message.set_content(std::move(text));
  } else if (*role != "assistant") {
    return refuse(at + ".content", fmt::format("'{}.content' is missing.", at),
                  "missing_required_parameter");
  }
  TRY(auto reasoning, in_message(at, read_text(fields, "reasoning_content")));
  message.set_reasoning_content(std::move(reasoning).value_or(""));
  TRY(auto name, in_message(at, read_text(fields, "name")));
  message.set_name(std::move(name).value_or(""));
  TRY(auto tool_call_id, in_message(at, read_text(fields, "tool_call_id")));
  message.set_tool_call_id(std::move(tool_call_id).value_or(""));
  return {};
}

OrRefusal<> read_messages(const Object& object, InferRequest& infer) {
  const auto element = find_field(object, "messages");
  if (!element) {
    return refuse("messages", "'messages' is missing.", "missing_required_parameter");
  }
  simdjson::dom::array list;
  if (element->get(list) != simdjson::SUCCESS) {
    return refuse("messages", "'messages' must be a list.", "invalid_type");
  }
  if (list.size() == 0 || list.size() > limits::kMessagesMax) {
    return refuse("messages",
                  fmt::format("'messages' must hold 1 to {} messages.", limits::kMessagesMax));
  }
  std::size_t index = 0;
  for (const Element message : list) {
    CHECK_OK(read_message(message, index, *infer.mutable_chat()));
    ++index;
  }
  return {};
}

OrRefusal<> require_model(const InferenceCall& call) {
  if (call.model.value().empty()) {
    return refuse("model", "'model' is missing; GET /v1/models lists the names.",
                  "missing_required_parameter");
  }
  return {};
}

// A prompt is one string; a list of one string is the same.
OrRefusal<> read_prompt(const Object& object, InferRequest& infer, std::string_view name) {
  auto element = find_field(object, name);
  if (!element) {
    return refuse(std::string(name), fmt::format("'{}' is missing.", name),
                  "missing_required_parameter");
  }
  simdjson::dom::array list;
  if (element->get(list) == simdjson::SUCCESS && list.size() == 1) {
    element = list.at(0).value();
  }
  std::string_view text;
  if (element->get(text) != simdjson::SUCCESS) {
    return refuse(std::string(name), fmt::format("'{}' must be one string.", name), "invalid_type");
  }
  if (text.empty()) {
    return refuse(std::string(name), fmt::format("'{}' is empty.", name));
  }
  infer.set_text(std::string(text));
  return {};
}

constexpr std::uint32_t kCompletionTokensDefault = 16;  // OpenAI's default for /v1/completions

}  // namespace

OrRefusal<InferenceCall> RequestReader::chat_completion(std::string_view body) {
  InferenceCall call;
  call.shape = Shape::chat;
  TRY(const Object object, parse_object(parser_->parser, body));
  CHECK_OK(read_shared(object, call, 0));
  CHECK_OK(require_model(call));
  CHECK_OK(read_messages(object, call.infer));
  return call;
}

OrRefusal<InferenceCall> RequestReader::completion(std::string_view body) {
  InferenceCall call;
  call.shape = Shape::completion;
  TRY(const Object object, parse_object(parser_->parser, body));
  CHECK_OK(read_shared(object, call, kCompletionTokensDefault));
  CHECK_OK(require_model(call));
  CHECK_OK(read_prompt(object, call.infer, "prompt"));
  return call;
}

OrRefusal<InferenceCall> RequestReader::predict(std::string_view body) {
  InferenceCall call;
  call.shape = Shape::predict;
  TRY(const Object object, parse_object(parser_->parser, body));
  CHECK_OK(read_shared(object, call, 0));
  if (call.stream) {
    return refuse("stream", "/api/predict does not stream; use /v1/chat/completions.",
                  "unsupported_parameter");
  }
  if (find_field(object, "messages")) {
    CHECK_OK(read_messages(object, call.infer));
    return call;
  }
  // A bare prompt is one user's turn: the caller wants an answer, not a continuation.
  CHECK_OK(read_prompt(object, call.infer, find_field(object, "input") ? "input" : "prompt"));
  const std::string text = call.infer.text();
  ChatMessage& message = *call.infer.mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content(text);
  return call;
}

OrRefusal<CreateKeyRequest> RequestReader::create_key(std::string_view body) {
  TRY(const Object object, parse_object(parser_->parser, body));
  CreateKeyRequest request;
  TRY(auto client_id, read_text(object, "client_id"));
  if (!client_id) {
    return refuse("client_id", "'client_id' is missing.", "missing_required_parameter");
  }
  request.client_id = *std::move(client_id);
  TRY(auto role, read_text(object, "role"));
  request.role = std::move(role).value_or("user");
  TRY(auto tenant, read_text(object, "tenant"));
  request.tenant = std::move(tenant).value_or("default");
  TRY(auto label, read_text(object, "label"));
  request.label = std::move(label).value_or("");
  TRY(const auto lifetime, read_integer(object, "lifetime_s", 1, 90LL * 86'400));
  request.lifetime_s = lifetime.value_or(0);
  return request;
}

OrRefusal<std::string> RequestReader::reason(std::string_view body) {
  if (body.empty()) {
    return std::string();
  }
  TRY(const Object object, parse_object(parser_->parser, body));
  TRY(auto reason, read_text(object, "reason"));
  return std::move(reason).value_or("");
}

OrRefusal<std::int64_t> RequestReader::expires_at(std::string_view body) {
  TRY(const Object object, parse_object(parser_->parser, body));
  TRY(const auto at, read_integer(object, "expires_at", 0, 100'000'000'000));
  if (!at) {
    return refuse("expires_at", "'expires_at' (Unix seconds) is missing.",
                  "missing_required_parameter");
  }
  return *at;
}

}  // namespace deepmoat::wire
