// JSON of answers; for the writers of wire/ alone.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "wire/answer.h"

namespace deepmoat::wire {

using Json = nlohmann::ordered_json;

// Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string dump(const Json& json);
// `text` as a JSON string, quotes and all. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);

// OpenAI's usage with DeepSeek's names beside it.
[[nodiscard]] Json usage_json(const Usage& usage);
// {"token","logprob","bytes","top_logprobs"}
[[nodiscard]] Json logprob_json(const Logprob& logprob);
[[nodiscard]] Json logprobs_json(const std::vector<Logprob>& logprobs);
// JSON numbers have no infinity: what cannot happen is -9999, as OpenAI has it.
[[nodiscard]] double finite(float logprob);

// "stop", "length", "tool_calls"
[[nodiscard]] std::string_view finish_reason_name(FinishReason reason);

// One an API.
[[nodiscard]] std::unique_ptr<AnswerWriter> make_chat_writer(AnswerHead head,
                                                             AnswerOptions options);
[[nodiscard]] std::unique_ptr<AnswerWriter> make_completion_writer(AnswerHead head,
                                                                   AnswerOptions options);
[[nodiscard]] std::unique_ptr<AnswerWriter> make_predict_writer(AnswerHead head);
[[nodiscard]] std::unique_ptr<AnswerWriter> make_embeddings_writer(AnswerHead head,
                                                                   AnswerOptions options);
[[nodiscard]] std::unique_ptr<AnswerWriter> make_rerank_writer(AnswerHead head,
                                                               AnswerOptions options);
[[nodiscard]] std::unique_ptr<AnswerWriter> make_message_writer(AnswerHead head);
[[nodiscard]] std::unique_ptr<AnswerWriter> make_token_count_writer();
[[nodiscard]] std::unique_ptr<AnswerWriter> make_response_writer(AnswerHead head,
                                                                 AnswerOptions options);

}  // namespace deepmoat::wire
