// Tokens of one choice to the text that its reader sees. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/answer_reader.h"
#include "engine/model.h"
#include "engine/prompt.h"

namespace deepmoat::engine {

enum class AnswerEnd : std::uint8_t {
  stop,        // the model's end of text, or a stop text
  length,      // the caller's limit
  tool_calls,  // the model's end, and it calls tools
};

struct AnswerOptions {
  std::vector<std::string> stops;
  std::uint32_t max_tokens = 0;  // not 0
  bool ignore_end_of_text = false;
};

// What one token added.
struct AnswerStep {
  std::string content;
  std::string reasoning;
  std::vector<ToolCallDelta> calls;
  std::optional<AnswerEnd> end;
  std::string stop_text;  // the caller's stop text that ended it
};

class Answer {
 public:
  Answer(const Model& model, std::shared_ptr<const AnswerFormat> format,
         const AnswerOptions& options);
  Answer(Answer&& other) noexcept;
  Answer& operator=(Answer&& other) noexcept;
  ~Answer();

  // Takes the next token. Must not be called after an end.
  [[nodiscard]] AnswerStep push(Token token);
  // Nothing follows: ends the answer without a token.
  [[nodiscard]] AnswerStep stop();

  [[nodiscard]] std::uint32_t tokens() const;
  [[nodiscard]] std::uint32_t reasoning_tokens() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace deepmoat::engine
