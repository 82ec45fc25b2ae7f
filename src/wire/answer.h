// Answers: what came out of a call, and one writer an API that turns it into bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "wire/inference_call.h"
#include "wire/refusal.h"
#include "wire/worker.pb.h"

namespace deepmoat::wire {

// What every object of one answer repeats.
struct AnswerHead {
  Shape shape = Shape::chat;
  std::string id;  // id_prefix() and the request id
  std::int64_t created_s = 0;
  std::string model;
};

// How ids of answers of this shape begin: "chatcmpl-".
[[nodiscard]] std::string_view id_prefix(Shape shape);

// One choice, as far as it has come.
struct Choice {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> tool_calls = {};
  std::vector<Logprob> logprobs = {};
  FinishReason reason = FINISH_UNKNOWN;
  std::string stop_text = {};  // the caller's stop text that ended it
};

// All that a backend said, gathered.
class Answer {
 public:
  // REQUIRES: count >= 1
  explicit Answer(std::uint32_t count = 1) : choices(count) {}

  std::vector<Choice> choices;
  Usage usage;
  std::uint32_t width = 0;     // of a vector
  std::vector<float> vectors;  // one after another, in the order of the inputs
  std::vector<float> scores;   // one a document, in their order

  // False: the frame names a choice that nobody asked for, and is dropped.
  bool take(const Delta& delta);
  void take(const ChoiceFinished& done);
  void take(const Vectors& part);
  void take(const Scores& part);
};

// Writes one answer, whole or as a stream. Used by one coroutine; keeps the state of its stream.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  // The body of an answer that is not streamed.
  [[nodiscard]] virtual std::string body(const Answer& answer) const = 0;

  // A stream: begin() once, delta() for each, then end() or failed(). Each returns whole events,
  // or nothing. Shapes that cannot be streamed return nothing.
  [[nodiscard]] virtual std::string begin() { return {}; }
  [[nodiscard]] virtual std::string delta(const Delta& delta);
  [[nodiscard]] virtual std::string end(const Answer& answer);
  // What ends a stream that broke.
  [[nodiscard]] virtual std::string failed(const Refusal& refusal, const Answer& answer);
  // Fills silence, so that nobody between takes the connection for dead.
  [[nodiscard]] virtual std::string keep_alive() const;
};

[[nodiscard]] std::unique_ptr<AnswerWriter> make_answer_writer(AnswerHead head,
                                                               AnswerOptions options);

}  // namespace deepmoat::wire
