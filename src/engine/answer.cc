// token -> bytes -> whole characters -> up to a stop text -> content, thoughts and tool calls.
#include "engine/answer.h"

#include <algorithm>

#include "engine/answer_format.h"
#include "engine/handles.h"
#include "engine/piece.h"
#include "engine/text.h"

namespace deepmoat::engine {

namespace {

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
  AnswerReader reader;
  std::uint32_t tokens = 0;
  std::uint32_t reasoning_tokens = 0;

  // `shown`: whole characters before a stop text, if any.
  void read(std::string_view shown, AnswerStep& step) {
    AnswerDelta delta = reader.feed(shown);
    if (step.end) {
      AnswerDelta last = reader.finish(*step.end == AnswerEnd::stop);
      delta.content += last.content;
      delta.reasoning += last.reasoning;
      std::ranges::move(last.calls, std::back_inserter(delta.calls));
      if (*step.end == AnswerEnd::stop && reader.called()) {
        step.end = AnswerEnd::tool_calls;
      }
    }
    step.content = std::move(delta.content);
    step.reasoning = std::move(delta.reasoning);
    step.calls = std::move(delta.calls);
    reasoning_tokens += reader.thinking() ? 1 : 0;
  }
};

Answer::Answer(const Model& model, std::shared_ptr<const AnswerFormat> format,
               const AnswerOptions& options)
    : parts_(std::make_unique<Parts>(Parts{.vocab = model.handles().vocab,
                                           .format = format,
                                           .options = options,
                                           .characters = {},
                                           .stop = StopMatcher(all_stops(options, format.get())),
                                           .reader = AnswerReader(format)})) {}

Answer::Answer(Answer&& other) noexcept = default;
Answer& Answer::operator=(Answer&& other) noexcept = default;
Answer::~Answer() = default;

AnswerStep Answer::push(Token token) {
  Parts& p = *parts_;
  ++p.tokens;
  if (llama_vocab_is_eog(p.vocab, token) && !p.options.ignore_end_of_text) {
    return stop();
  }
  AnswerStep step;
  const bool shown = p.format != nullptr && p.format->shown.contains(token);
  StopMatcher::Out out = p.stop.feed(p.characters.feed(piece_of(p.vocab, token, shown)));
  if (out.stopped) {
    step.end = AnswerEnd::stop;
    const bool callers = std::ranges::find(p.options.stops, out.stop) != p.options.stops.end();
    step.stop_text = callers ? std::move(out.stop) : std::string();
  } else if (p.tokens >= p.options.max_tokens) {
    step.end = AnswerEnd::length;
    out.text += p.stop.finish();  // it only looked like the beginning of a stop text
  }
  p.read(out.text, step);
  return step;
}

AnswerStep Answer::stop() {
  AnswerStep step;
  step.end = AnswerEnd::stop;
  parts_->read(parts_->stop.finish(), step);
  return step;
}

std::uint32_t Answer::tokens() const {
  return parts_->tokens;
}
std::uint32_t Answer::reasoning_tokens() const {
  return parts_->reasoning_tokens;
}

}  // namespace deepmoat::engine
