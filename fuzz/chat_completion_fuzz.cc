// links: deepmoat_wire deepmoat_base nlohmann_json::nlohmann_json
// Any bytes as a request body: nothing crashes, what is refused is the caller's fault and says so,
// and what is accepted means the same when it is written out again.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "wire/key_request.h"
#include "wire/request_reader.h"

namespace {

using deepmoat::wire::ChatMessage;
using deepmoat::wire::ChatPrompt;
using deepmoat::wire::InferenceCall;
using deepmoat::wire::InferRequest;
using deepmoat::wire::OrRefusal;
using deepmoat::wire::RequestReader;
using deepmoat::wire::Sampling;
using deepmoat::wire::Tool;
using deepmoat::wire::ToolCall;
using Json = nlohmann::json;

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

std::string bytes_of(const InferRequest& request) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream sink(&bytes);
    google::protobuf::io::CodedOutputStream stream(&sink);
    stream.SetSerializationDeterministic(true);  // of the map in it
    request.SerializeToCodedStream(&stream);
  }
  return bytes;
}

Json sampling_json(const Sampling& sampling) {
  Json json = {{"temperature", sampling.temperature()},
               {"top_p", sampling.top_p()},
               {"top_k", sampling.top_k()},
               {"min_p", sampling.min_p()},
               {"presence_penalty", sampling.presence_penalty()},
               {"frequency_penalty", sampling.frequency_penalty()},
               {"repeat_penalty", sampling.repeat_penalty()},
               {"logit_bias", Json::object()}};
  if (sampling.has_seed()) {
    json["seed"] = static_cast<std::int64_t>(sampling.seed());
  }
  for (const auto& [token, bias] : sampling.logit_bias()) {
    json["logit_bias"][std::to_string(token)] = bias;
  }
  return json;
}

// Schemas are text in a call, and must come back byte by byte: they go in after the rest.
class RawJson {
 public:
  std::string mark(const std::string& text) {
    texts_.push_back(text);
    return "\x01" + std::to_string(texts_.size() - 1) + "\x01";
  }
  std::string filled(std::string document) const {
    for (std::size_t i = texts_.size(); i-- > 0;) {
      // The colon before it: no text of the caller's holds a bare quote.
      const std::string sign = ":\"\\u0001" + std::to_string(i) + "\\u0001\"";
      const std::size_t at = document.find(sign);
      must(at != std::string::npos);
      document.replace(at, sign.size(), ":" + texts_[i]);
    }
    return document;
  }

 private:
  std::vector<std::string> texts_;
};

Json message_json(const ChatMessage& message) {
  Json json = {{"role", message.role()},
               {"content", message.content()},
               {"reasoning_content", message.reasoning_content()},
               {"tool_call_id", message.tool_call_id()},
               {"name", message.name()}};
  for (const ToolCall& call : message.tool_calls()) {
    json["tool_calls"].push_back(
        {{"id", call.id()},
         {"type", "function"},
         {"function", {{"name", call.name()}, {"arguments", call.arguments()}}}});
  }
  return json;
}

void write_tools(const ChatPrompt& chat, RawJson& raw, Json& json) {
  for (const Tool& tool : chat.tools()) {
    Json function = {{"name", tool.name()}, {"description", tool.description()}};
    if (!tool.parameters().empty()) {
      function["parameters"] = raw.mark(tool.parameters());
    }
    json["tools"].push_back({{"type", "function"}, {"function", function}});
  }
  switch (chat.tool_choice()) {
    case deepmoat::wire::TOOL_NONE:
      json["tool_choice"] = "none";
      break;
    case deepmoat::wire::TOOL_REQUIRED:
      json["tool_choice"] = "required";
      break;
    case deepmoat::wire::TOOL_NAMED:
      json["tool_choice"] = {{"type", "function"}, {"function", {{"name", chat.tool_name()}}}};
      break;
    default:
      json["tool_choice"] = "auto";
      break;
  }
  json["parallel_tool_calls"] = chat.parallel_tool_calls();
}

void write_format(const InferRequest& infer, RawJson& raw, Json& json) {
  if (infer.format().json_object()) {
    json["response_format"] = {{"type", "json_object"}};
  } else if (infer.format().has_json_schema()) {
    json["response_format"] = {
        {"type", "json_schema"},
        {"json_schema", {{"schema", raw.mark(infer.format().json_schema())}}}};
  } else if (infer.format().has_grammar()) {
    json["grammar"] = infer.format().grammar();
  }
}

void write_prompt(const InferRequest& infer, Json& json) {
  if (infer.has_text()) {
    json["prompt"] = infer.text();
  } else if (infer.has_tokens()) {
    json["prompt"] = std::vector<int>(infer.tokens().ids().begin(), infer.tokens().ids().end());
  } else if (infer.has_fill()) {
    json["prompt"] = infer.fill().prefix();
    json["suffix"] = infer.fill().suffix();
  }
  if (!infer.has_chat()) {
    json["echo"] = infer.echo();
    if (infer.logprobs()) {
      json["logprobs"] = infer.top_logprobs();
    }
    return;
  }
  if (infer.logprobs()) {
    json["logprobs"] = true;
    json["top_logprobs"] = infer.top_logprobs();
  }
  for (const ChatMessage& message : infer.chat().messages()) {
    json["messages"].push_back(message_json(message));
  }
  if (infer.chat().has_thinking()) {
    json["chat_template_kwargs"]["enable_thinking"] = infer.chat().thinking();
  }
  if (!infer.chat().reasoning_effort().empty()) {
    json["reasoning_effort"] = infer.chat().reasoning_effort();
  }
  json["continue_final_message"] = infer.chat().continue_last();
}

std::string written(const InferenceCall& call, bool with_tools) {
  RawJson raw;
  Json json = sampling_json(call.infer.sampling());
  write_prompt(call.infer, json);
  write_format(call.infer, raw, json);
  if (with_tools) {
    write_tools(call.infer.chat(), raw, json);
  }
  json["adapter"] = call.infer.adapter();
  json["adapter_scale"] = call.infer.adapter_scale();
  json["priority"] = call.infer.priority();
  if (call.infer.has_reasoning_budget()) {
    json["reasoning_budget_tokens"] = call.infer.reasoning_budget();
  }
  json["model"] = call.model.value();
  json["n"] = call.infer.n();
  json["ignore_eos"] = call.infer.ignore_eos();
  json["stream"] = call.stream;
  if (call.stream) {
    json["stream_options"] = {{"include_usage", call.options.include_usage}};
  }
  if (call.infer.max_tokens() > 0) {
    json["max_tokens"] = call.infer.max_tokens();
  }
  json["stop"] = Json::array();
  for (const std::string& stop : call.infer.stop()) {
    json["stop"].push_back(stop);
  }
  return raw.filled(json.dump());
}

using Parse = OrRefusal<InferenceCall> (RequestReader::*)(std::string_view);

void check(RequestReader& reader, Parse parse, std::string_view body) {
  const auto call = (reader.*parse)(body);
  if (!call) {
    must(call.error().status == 400 && !call.error().code.empty());
    must(!call.error().message.empty() && call.error().type == "invalid_request_error");
    return;
  }
  must(call->infer.n() >= 1 && call->infer.n() <= 4);
  must(call->infer.has_chat() || call->infer.has_fill() || !call->infer.text().empty() ||
       call->infer.tokens().ids_size() > 0);
  const bool chat = call->shape == deepmoat::wire::Shape::chat;
  const auto again = (reader.*parse)(written(*call, chat));
  must(again.has_value());
  must(again->model == call->model && again->stream == call->stream);
  must(again->options.include_usage == call->options.include_usage);
  must(bytes_of(again->infer) == bytes_of(call->infer));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static RequestReader reader;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check(reader, &RequestReader::chat_completion, body);
  check(reader, &RequestReader::completion, body);
  check(reader, &RequestReader::predict, body);
  const auto key = reader.create_key(body);
  must(key || key.error().status == 400);
  must(!key || (key->lifetime_s >= 0 && key->lifetime_s <= 90LL * 86'400));
  const auto change = reader.change_key(body);
  must(change || change.error().status == 400);
  const auto tenant = reader.create_tenant(body);
  must(tenant || tenant.error().status == 400);
  const auto reason = reader.reason(body);
  must(reason || reason.error().status == 400);
  const auto end = reader.expires_at(body);
  must(end ? *end >= 0 : end.error().status == 400);
  return 0;
}
