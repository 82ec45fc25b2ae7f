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

#include "wire/openai_request.h"

namespace {

using deepmoat::wire::ChatMessage;
using deepmoat::wire::InferenceCall;
using deepmoat::wire::InferRequest;
using deepmoat::wire::OrRefusal;
using deepmoat::wire::RequestReader;
using deepmoat::wire::Sampling;
using deepmoat::wire::Shape;
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
               {"logit_bias", Json::object()}};
  if (sampling.has_seed()) {
    json["seed"] = static_cast<std::int64_t>(sampling.seed());
  }
  for (const auto& [token, bias] : sampling.logit_bias()) {
    json["logit_bias"][std::to_string(token)] = bias;
  }
  return json;
}

std::string written(const InferenceCall& call) {
  Json json = sampling_json(call.infer.sampling());
  json["model"] = call.model.value();
  json["n"] = call.infer.n();
  json["ignore_eos"] = call.infer.ignore_eos();
  json["stream"] = call.stream;
  if (call.stream) {
    json["stream_options"] = {{"include_usage", call.include_usage}};
  }
  if (call.infer.max_tokens() > 0) {
    json["max_tokens"] = call.infer.max_tokens();
  }
  json["stop"] = Json::array();
  for (const std::string& stop : call.infer.stop()) {
    json["stop"].push_back(stop);
  }
  if (!call.infer.has_chat()) {
    json["prompt"] = call.infer.text();
  }
  for (const ChatMessage& message : call.infer.chat().messages()) {
    json["messages"].push_back({{"role", message.role()},
                                {"content", message.content()},
                                {"reasoning_content", message.reasoning_content()},
                                {"tool_call_id", message.tool_call_id()},
                                {"name", message.name()}});
  }
  return json.dump();
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
  must(call->infer.has_chat() || !call->infer.text().empty());
  const auto again = (reader.*parse)(written(*call));
  must(again.has_value());
  must(again->model == call->model && again->stream == call->stream);
  must(again->include_usage == call->include_usage);
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
  const auto reason = reader.reason(body);
  must(reason || reason.error().status == 400);
  const auto end = reader.expires_at(body);
  must(end ? *end >= 0 : end.error().status == 400);
  return 0;
}
