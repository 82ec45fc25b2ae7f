// Answers of the OpenAI API, and of POST /api/predict, as JSON text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/openai_request.h"
#include "wire/worker.pb.h"

namespace deepmoat::wire {

// What every object of one answer repeats.
struct AnswerHead {
  Shape shape = Shape::chat;
  std::string id;  // "chatcmpl-..." or "cmpl-..."
  std::int64_t created_s = 0;
  std::string model;
};

// One choice, whole.
struct Choice {
  std::string content;
  std::string reasoning;
  FinishReason reason = FINISH_UNKNOWN;
};

// "stop", "length"; null while it runs.
[[nodiscard]] std::string_view finish_reason_name(FinishReason reason);

// The body of an answer that is not streamed.
[[nodiscard]] std::string answer_body(const AnswerHead& head, const std::vector<Choice>& choices,
                                      const Usage& usage);

// Makes the events of one stream. With `include_usage` every chunk says usage: null and one
// more chunk with the usage and no choice comes before [DONE] (OpenAI's API reference).
class ChunkWriter {
 public:
  ChunkWriter(const AnswerHead& head, bool include_usage);

  // The first event of a choice: its role (chat only; empty for completions).
  [[nodiscard]] std::string role(std::uint32_t index) const;
  [[nodiscard]] std::string delta(const Delta& delta) const;
  [[nodiscard]] std::string finished(std::uint32_t index, FinishReason reason) const;
  // Empty when usage was not asked for.
  [[nodiscard]] std::string usage(const Usage& usage) const;

 private:
  [[nodiscard]] std::string chunk(std::string_view choices) const;

  bool chat_;
  bool include_usage_;
  std::string prefix_;  // up to and with `"choices":`
};

struct ModelListing {
  std::string id;
  std::int64_t created_s = 0;
};
[[nodiscard]] std::string models_body(const std::vector<ModelListing>& models);
[[nodiscard]] std::string model_body(const ModelListing& model);

// `text` as a JSON string, quotes and all. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);

}  // namespace deepmoat::wire
