// Fields that the APIs for text share: model, sampling, ends, scheduling. For wire/ alone.
#pragma once

#include <span>

#include "wire/inference_call.h"
#include "wire/json_reader.h"

namespace deepmoat::wire {

inline constexpr std::int64_t kAnswerTokensMax = 10'000'000;

// `model`, which must be there, and `adapter` with its scale.
[[nodiscard]] OrRefusal<> read_model(const Object& object, InferenceCall& call);
// The same, but the model may be absent.
[[nodiscard]] OrRefusal<> read_optional_model(const Object& object, InferenceCall& call);

// temperature, top_p, top_k, min_p, penalties, seed, logit_bias.
[[nodiscard]] OrRefusal<> read_sampling(const Object& object, InferenceCall& call);

// Texts that end the answer: one, or a list.
[[nodiscard]] OrRefusal<> read_stop(const Object& object, std::string_view name,
                                    InferRequest& infer);

// `stream`, and `stream_options` of the OpenAI API.
[[nodiscard]] OrRefusal<> read_stream(const Object& object, InferenceCall& call);

// `priority` (0 goes first) and `ignore_eos`.
[[nodiscard]] OrRefusal<> read_scheduling(const Object& object, InferRequest& infer);

// 0 to 5 tokens beside the chosen one, in the field `name`.
[[nodiscard]] OrRefusal<std::optional<std::uint32_t>> read_top_logprobs(const Object& object,
                                                                        std::string_view name);

// `grammar`: GBNF of llama.cpp. At most one of the ways to bind an answer may be used.
[[nodiscard]] OrRefusal<> read_grammar(const Object& object, InferRequest& infer);
// {"type": "text" | "json_object" | "json_schema", ...}, the schema within `holder` or right here
// (OpenAI's two ways to write it). `at` names the field.
[[nodiscard]] OrRefusal<> read_format(const Object& format, const std::string& at,
                                      bool schema_is_nested, InferRequest& infer);

struct Unsupported {
  std::string_view name;
  std::string_view instead;  // what to send; may be empty
};
// Refuses the first of `fields` that asks for something.
[[nodiscard]] OrRefusal<> refuse_fields(const Object& object, std::span<const Unsupported> fields);

// Token ids as they are. An empty list, or one with anything but ids, is refused.
[[nodiscard]] OrRefusal<> read_tokens(const simdjson::dom::array& list, const std::string& at,
                                      Tokens& tokens);
// Whether a list begins with a number.
[[nodiscard]] bool holds_numbers(const simdjson::dom::array& list);

}  // namespace deepmoat::wire
