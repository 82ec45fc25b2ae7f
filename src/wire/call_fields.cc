#include "wire/call_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/limits.h"

namespace deepmoat::wire {

namespace {

OrRefusal<> add_stop(const Element& item, const std::string& name, InferRequest& infer) {
  std::string_view text;
  if (item.get(text) != simdjson::SUCCESS) {
    return refuse_type(name, "a string or a list of strings");
  }
  if (text.empty() || text.size() > limits::kStopSequenceBytesMax) {
    return refuse(name, fmt::format("Each '{}' must have 1 to {} bytes.", name,
                                    limits::kStopSequenceBytesMax));
  }
  infer.add_stop(std::string(text));
  return {};
}

OrRefusal<> read_logit_bias(const Object& object, Sampling& sampling) {
  const auto element = find_field(object, "logit_bias");
  if (!element) {
    return {};
  }
  Object biases;
  if (element->get(biases) != simdjson::SUCCESS) {
    return refuse_type("logit_bias", "an object of token ids and numbers");
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

// llama.cpp's name and vLLM's.
OrRefusal<> read_repeat_penalty(const Object& object, Sampling& sampling) {
  TRY(const auto repeat, read_number(object, "repeat_penalty", 0, 10));
  TRY(const auto repetition, read_number(object, "repetition_penalty", 0, 10));
  sampling.set_repeat_penalty(static_cast<float>(repeat.value_or(repetition.value_or(0))));
  return {};
}

OrRefusal<> set_schema(const Element& schema, const std::string& at, InferRequest& infer) {
  Object fields;
  if (schema.get(fields) != simdjson::SUCCESS) {
    return refuse_type(at, "a JSON schema, an object");
  }
  std::string text = json_text(schema);
  if (text.size() > limits::kSchemaBytesMax) {
    return refuse(at, fmt::format("'{}' has {} bytes and may have {}.", at, text.size(),
                                  limits::kSchemaBytesMax));
  }
  infer.mutable_format()->set_json_schema(std::move(text));
  return {};
}

}  // namespace

OrRefusal<> read_optional_model(const Object& object, InferenceCall& call) {
  TRY(const auto model, read_text(object, "model"));
  call.model = ModelName(model.value_or(""));
  TRY(auto adapter, read_text(object, "adapter"));
  call.infer.set_adapter(std::move(adapter).value_or(""));
  TRY(const auto scale, read_number(object, "adapter_scale", 0, 10));
  call.infer.set_adapter_scale(static_cast<float>(scale.value_or(0)));
  return {};
}

OrRefusal<> read_model(const Object& object, InferenceCall& call) {
  CHECK_OK(read_optional_model(object, call));
  if (call.model.value().empty()) {
    return refuse("model", "'model' is missing; GET /v1/models lists the names.",
                  "missing_required_parameter");
  }
  return {};
}

OrRefusal<> read_sampling(const Object& object, InferenceCall& call) {
  Sampling& sampling = *call.infer.mutable_sampling();
  TRY(const auto temperature, read_number(object, "temperature", 0, 2));
  TRY(const auto top_p, read_number(object, "top_p", 0, 1));
  TRY(const auto min_p, read_number(object, "min_p", 0, 1));
  TRY(const auto top_k, read_integer(object, "top_k", -1, 1'000'000));
  TRY(const auto presence, read_number(object, "presence_penalty", -2, 2));
  TRY(const auto frequency, read_number(object, "frequency_penalty", -2, 2));
  TRY(const auto seed, read_integer(object, "seed", std::numeric_limits<std::int64_t>::min(),
                                    std::numeric_limits<std::int64_t>::max()));
  call.names_temperature = temperature.has_value();
  call.names_top_p = top_p.has_value();
  sampling.set_temperature(static_cast<float>(temperature.value_or(1)));
  sampling.set_top_p(static_cast<float>(top_p.value_or(1)));
  sampling.set_min_p(static_cast<float>(min_p.value_or(0)));
  sampling.set_top_k(static_cast<std::int32_t>(std::max<std::int64_t>(top_k.value_or(0), 0)));
  sampling.set_presence_penalty(static_cast<float>(presence.value_or(0)));
  sampling.set_frequency_penalty(static_cast<float>(frequency.value_or(0)));
  if (seed) {
    sampling.set_seed(static_cast<std::uint64_t>(*seed));
  }
  CHECK_OK(read_repeat_penalty(object, sampling));
  return read_logit_bias(object, sampling);
}

OrRefusal<> read_stop(const Object& object, std::string_view name, InferRequest& infer) {
  const auto element = find_field(object, name);
  if (!element) {
    return {};
  }
  const std::string field(name);
  simdjson::dom::array list;
  if (element->get(list) != simdjson::SUCCESS) {
    return add_stop(*element, field, infer);
  }
  if (list.size() > limits::kStopSequencesMax) {
    return refuse(
        field, fmt::format("'{}' may hold at most {} strings.", field, limits::kStopSequencesMax));
  }
  for (const Element item : list) {
    CHECK_OK(add_stop(item, field, infer));
  }
  return {};
}

OrRefusal<> read_stream(const Object& object, InferenceCall& call) {
  TRY(const auto stream, read_bool(object, "stream"));
  call.stream = stream.value_or(false);
  TRY(const auto options, read_object(object, "stream_options"));
  if (!options) {
    return {};
  }
  if (!call.stream) {
    return refuse("stream_options", "'stream_options' needs 'stream': true.");
  }
  TRY(const auto include_usage, read_bool(*options, "include_usage"));
  call.options.include_usage = include_usage.value_or(false);
  return {};
}

OrRefusal<> read_scheduling(const Object& object, InferRequest& infer) {
  TRY(const auto priority, read_integer(object, "priority", -1'000'000, 1'000'000));
  infer.set_priority(static_cast<std::uint32_t>(std::max<std::int64_t>(priority.value_or(0), 0)));
  TRY(const auto ignore_eos, read_bool(object, "ignore_eos"));
  infer.set_ignore_eos(ignore_eos.value_or(false));
  return {};
}

OrRefusal<std::optional<std::uint32_t>> read_top_logprobs(const Object& object,
                                                          std::string_view name) {
  TRY(const auto count, read_integer(object, name, 0, limits::kTopLogprobsMax));
  if (!count) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*count);
}

OrRefusal<> read_grammar(const Object& object, InferRequest& infer) {
  TRY(auto grammar, read_text(object, "grammar"));
  if (!grammar || grammar->empty()) {
    return {};
  }
  if (infer.has_format()) {
    return refuse("grammar", "'grammar' and 'response_format' cannot be used together.");
  }
  if (grammar->size() > limits::kGrammarBytesMax) {
    return refuse("grammar", fmt::format("'grammar' has {} bytes and may have {}.", grammar->size(),
                                         limits::kGrammarBytesMax));
  }
  infer.mutable_format()->set_grammar(*std::move(grammar));
  return {};
}

OrRefusal<> read_format(const Object& format, const std::string& at, bool schema_is_nested,
                        InferRequest& infer) {
  TRY(const auto type, in(at, read_text(format, "type")));
  if (type == "text") {
    return {};
  }
  if (type == "json_object") {
    infer.mutable_format()->set_json_object(true);
    return {};
  }
  if (type != "json_schema") {
    return refuse(at + ".type",
                  fmt::format("'{}.type' must be text, json_object or json_schema.", at));
  }
  std::string place = at;
  Object holder = format;
  if (schema_is_nested) {
    TRY(const auto nested, in(at, read_object(format, "json_schema")));
    place += ".json_schema";
    if (!nested) {
      return refuse_missing(place);
    }
    holder = *nested;
  }
  const auto schema = find_field(holder, "schema");
  if (!schema) {
    return refuse_missing(place + ".schema");
  }
  return set_schema(*schema, place + ".schema", infer);
}

OrRefusal<> refuse_fields(const Object& object, std::span<const Unsupported> fields) {
  for (const Unsupported& field : fields) {
    if (!asks_nothing(object, field.name)) {
      return refuse_unsupported(std::string(field.name), field.instead);
    }
  }
  return {};
}

OrRefusal<> read_tokens(const simdjson::dom::array& list, const std::string& at, Tokens& tokens) {
  if (list.size() == 0 || list.size() > limits::kPromptTokensMax) {
    return refuse(at, fmt::format("'{}' must hold 1 to {} tokens.", at, limits::kPromptTokensMax));
  }
  for (const Element item : list) {
    const auto id = as_integer(item);
    if (!id || *id < 0 || *id > std::numeric_limits<std::int32_t>::max()) {
      return refuse_type(at, "a string or a list of token ids");
    }
    tokens.add_ids(static_cast<std::int32_t>(*id));
  }
  return {};
}

bool holds_numbers(const simdjson::dom::array& list) {
  return list.begin() != list.end() && as_integer(*list.begin()).has_value();
}

}  // namespace deepmoat::wire
