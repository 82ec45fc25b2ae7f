// The text of an answer, as the model writes it, to content, thoughts and tool calls. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace deepmoat::engine {

struct AnswerFormat;  // engine/answer_format.h

// A piece of a call of a tool. Its first piece has the id and the name, and perhaps no arguments.
struct ToolCallDelta {
  std::uint32_t index = 0;
  std::string id = {};
  std::string name = {};
  std::string arguments = {};
};

struct AnswerDelta {
  std::string content = {};
  std::string reasoning = {};
  std::vector<ToolCallDelta> calls = {};
};

class AnswerReader {
 public:
  // null: all is content.
  explicit AnswerReader(std::shared_ptr<const AnswerFormat> format);
  AnswerReader(AnswerReader&& other) noexcept;
  AnswerReader& operator=(AnswerReader&& other) noexcept;
  ~AnswerReader();

  // Whole characters. The work for n bytes of answer grows as n log n, not with its square.
  [[nodiscard]] AnswerDelta feed(std::string_view text);
  // The answer's end. `whole`: the model ended it, not a limit.
  [[nodiscard]] AnswerDelta finish(bool whole);

  [[nodiscard]] bool called() const;    // a tool call was handed out
  [[nodiscard]] bool thinking() const;  // thoughts were, and nothing else
  // How often the parser ran, for tests.
  [[nodiscard]] std::uint64_t parses() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Random, in OpenAI's form: "call_" and 24 letters or digits.
[[nodiscard]] std::string make_call_id();

}  // namespace deepmoat::engine
