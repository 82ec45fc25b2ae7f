// token -> bytes -> whole characters -> up to a stop text -> content and reasoning.
#include "engine/answer.h"

#include <array>
#include <exception>

#include "engine/answer_format.h"
#include "engine/handles.h"
#include "engine/text.h"

namespace deepmoat::engine {

namespace {

std::string bytes_of(const llama_vocab* vocab, Token token, bool special) {
  std::array<char, 256> buffer;
  const std::int32_t count =
      llama_token_to_piece(vocab, token, buffer.data(), buffer.size(), 0, special);
  if (count >= 0) {
    return {buffer.data(), static_cast<std::size_t>(count)};
  }
  std::string bytes(static_cast<std::size_t>(-count), '\0');
  llama_token_to_piece(vocab, token, bytes.data(), -count, 0, special);
  return bytes;
}

std::vector<std::string> all_stops(const AnswerOptions& options, const AnswerFormat* format) {
  std::vector<std::string> stops = options.stops;
  if (format != nullptr) {
    stops.insert(stops.end(), format->stops.begin(), format->stops.end());
  }
  return stops;
}

}  // namespace

struct Answer::Parts {
  const llama_vocab* vocab;
  std::shared_ptr<const AnswerFormat> format;
  AnswerOptions options;
  Utf8Stream characters;
  StopMatcher stop;
  std::string raw;         // all text so far, for the reasoning parser
  common_chat_msg parsed;  // what of it was handed out
  std::uint32_t tokens = 0;
  std::uint32_t reasoning_tokens = 0;

  // Splits thoughts from the answer. Only called for templates that know thoughts.
  void split(const std::string& text, bool partial, AnswerStep& step) {
    raw += text;
    try {
      common_chat_msg now = common_chat_parse(raw, partial, format->parser);
      for (const auto& diff : common_chat_msg_diff::compute_diffs(parsed, now)) {
        step.reasoning += diff.reasoning_content_delta;
        step.content += diff.content_delta;
      }
      parsed = std::move(now);
    } catch (const std::exception&) {
      step.content += text;  // not in the template's format: show it as it is
    }
  }
};

Answer::Answer(const Model& model, std::shared_ptr<const AnswerFormat> format,
               const AnswerOptions& options)
    : parts_(std::make_unique<Parts>(Parts{.vocab = model.handles().vocab,
                                           .format = format,
                                           .options = options,
                                           .characters = {},
                                           .stop = StopMatcher(all_stops(options, format.get())),
                                           .raw = {},
                                           .parsed = {}})) {}

Answer::Answer(Answer&& other) noexcept = default;
Answer& Answer::operator=(Answer&& other) noexcept = default;
Answer::~Answer() = default;

AnswerStep Answer::push(Token token) {
  Parts& p = *parts_;
  AnswerStep step;
  ++p.tokens;
  std::string text;
  bool stopped = false;  // by a stop text: what follows it is not shown
  if (llama_vocab_is_eog(p.vocab, token) && !p.options.ignore_end_of_text) {
    step.end = AnswerEnd::stop;
  } else {
    const bool shown = p.format != nullptr && p.format->shown.contains(token);
    StopMatcher::Out out = p.stop.feed(p.characters.feed(bytes_of(p.vocab, token, shown)));
    text = std::move(out.text);
    if (out.stopped) {
      step.end = AnswerEnd::stop;
    } else if (p.tokens >= p.options.max_tokens) {
      step.end = AnswerEnd::length;
    }
    stopped = out.stopped;
  }
  if (step.end && !stopped) {
    text += p.stop.finish();  // it only looked like the beginning of a stop text
  }
  if (p.format == nullptr || !p.format->reasoning) {
    step.content = std::move(text);
    return step;
  }
  if (!text.empty() || step.end) {
    p.split(text, !step.end.has_value(), step);
  }
  p.reasoning_tokens += p.parsed.content.empty() && !p.parsed.reasoning_content.empty() ? 1 : 0;
  return step;
}

std::uint32_t Answer::tokens() const {
  return parts_->tokens;
}
std::uint32_t Answer::reasoning_tokens() const {
  return parts_->reasoning_tokens;
}

}  // namespace deepmoat::engine
