#include "engine/answer_reader.h"

#include <algorithm>
#include <array>
#include <exception>
#include <span>

#include "base/random.h"
#include "engine/answer_format.h"

namespace deepmoat::engine {

namespace {

// The parser reads the whole text again. Beyond this length it does so once in a 1/512 of it.
constexpr std::size_t kParseAlwaysBytes = 4096;
constexpr std::size_t kParseShare = 512;

// Text in which no markup of any template begins, and that no template trims.
bool plain(std::string_view text) {
  static constexpr std::string_view kMarks = " .,;:!?'-";
  if (text.empty() || text.back() == ' ') {
    return false;
  }
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

// What `now` has more than `sent`. Nothing when it has changed its mind: sent text stays.
std::string grown(const std::string& sent, const std::string& now) {
  return now.size() > sent.size() && now.starts_with(sent) ? now.substr(sent.size())
                                                           : std::string();
}

}  // namespace

std::string make_call_id() {
  constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::array<unsigned char, 24> bytes{};
  if (!fill_random(std::as_writable_bytes(std::span(bytes)))) {
    bytes.fill(0);  // ids that repeat are better than no answer
  }
  std::string id = "call_";
  for (const unsigned char byte : bytes) {
    id += kLetters[byte % kLetters.size()];
  }
  return id;
}

struct AnswerReader::Parts {
  enum class Growing : std::uint8_t { unknown, content, reasoning };
  struct SentCall {
    bool announced = false;
    std::string arguments = {};
  };

  std::shared_ptr<const AnswerFormat> format;
  std::string raw = {};      // all text so far
  std::size_t parsed = 0;    // bytes of it that the last parse saw
  std::string content = {};  // handed out
  std::string reasoning = {};
  std::vector<SentCall> calls = {};
  std::string before_content = {};  // of an answer that goes on: not handed out
  std::string before_reasoning = {};
  Growing growing = Growing::unknown;  // all text goes there as it is
  std::uint64_t parses = 0;
  bool failed = false;

  common_chat_msg parse(bool partial) {
    ++parses;
    parsed = raw.size();
    return common_chat_parse(raw, partial, format->parser);
  }

  void take_calls(const common_chat_msg& now, bool last, AnswerDelta& delta) {
    calls.resize(std::max(calls.size(), now.tool_calls.size()));
    for (std::size_t i = 0; i < now.tool_calls.size(); ++i) {
      const common_chat_tool_call& call = now.tool_calls[i];
      SentCall& sent = calls[i];
      // A name may still grow until something follows it.
      const bool settled = !call.arguments.empty() || i + 1 < now.tool_calls.size() || last;
      if (call.name.empty() || (!sent.announced && !settled)) {
        continue;
      }
      ToolCallDelta piece{.index = static_cast<std::uint32_t>(i)};
      if (!sent.announced) {
        piece.id = make_call_id();
        piece.name = call.name;
        sent.announced = true;
      }
      const bool none = call.arguments.empty() && sent.arguments.empty() && last;
      piece.arguments = none ? "{}" : grown(sent.arguments, call.arguments);
      sent.arguments += piece.arguments;
      if (!piece.id.empty() || !piece.arguments.empty()) {
        delta.calls.push_back(std::move(piece));
      }
    }
  }

  void take(const common_chat_msg& now, bool last, std::size_t fed, AnswerDelta& delta) {
    const std::string more_content = grown(before_content + content, now.content);
    const std::string more_reasoning = grown(before_reasoning + reasoning, now.reasoning_content);
    content += more_content;
    reasoning += more_reasoning;
    growing = more_content.size() == fed && more_reasoning.empty()   ? Growing::content
              : more_reasoning.size() == fed && more_content.empty() ? Growing::reasoning
                                                                     : Growing::unknown;
    delta.content += more_content;
    delta.reasoning += more_reasoning;
    take_calls(now, last, delta);
    if (!calls.empty()) {
      growing = Growing::unknown;
    }
  }

  // Without the parser, where its result is known.
  bool take_plain(std::string_view text, AnswerDelta& delta) {
    if (growing == Growing::unknown || !format->plain_runs || parsed != raw.size() - text.size() ||
        !plain(text)) {
      return false;
    }
    parsed = raw.size();
    (growing == Growing::content ? content : reasoning) += text;
    (growing == Growing::content ? delta.content : delta.reasoning) += text;
    return true;
  }

  // The model did not keep to its format. What was understood stays; the rest is shown unless it
  // holds markup.
  void take_broken(bool last, AnswerDelta& delta) {
    failed = true;
    if (!last || !content.empty() || !reasoning.empty() || !calls.empty()) {
      return;
    }
    const bool markup = std::ranges::any_of(format->marks, [&](const std::string& mark) {
      return raw.find(mark) != std::string::npos;
    });
    if (!markup) {
      delta.content += raw;
      content += raw;
    }
  }
};

AnswerReader::AnswerReader(std::shared_ptr<const AnswerFormat> format)
    : parts_(std::make_unique<Parts>(Parts{.format = std::move(format)})) {
  Parts& p = *parts_;
  if (p.format == nullptr || !p.format->parsed || !p.format->continues) {
    return;
  }
  try {
    const common_chat_msg before = p.parse(true);
    p.before_content = before.content;
    p.before_reasoning = before.reasoning_content;
  } catch (const std::exception&) {
    p.failed = true;
  }
}

AnswerReader::AnswerReader(AnswerReader&& other) noexcept = default;
AnswerReader& AnswerReader::operator=(AnswerReader&& other) noexcept = default;
AnswerReader::~AnswerReader() = default;

AnswerDelta AnswerReader::feed(std::string_view text) {
  Parts& p = *parts_;
  AnswerDelta delta;
  if (p.format == nullptr || !p.format->parsed) {
    delta.content = text;
    return delta;
  }
  if (text.empty()) {
    return delta;
  }
  p.raw += text;
  if (p.take_plain(text, delta)) {
    return delta;
  }
  const std::size_t waiting = p.raw.size() - p.parsed;
  if (p.raw.size() > kParseAlwaysBytes && waiting < p.raw.size() / kParseShare) {
    p.growing = Parts::Growing::unknown;
    return delta;
  }
  try {
    p.take(p.parse(true), false, waiting, delta);
  } catch (const std::exception&) {
    p.take_broken(false, delta);
  }
  return delta;
}

AnswerDelta AnswerReader::finish(bool whole) {
  Parts& p = *parts_;
  AnswerDelta delta;
  if (p.format == nullptr || !p.format->parsed) {
    return delta;
  }
  // A text that a limit cut, or that breaks its format, is still read as far as it goes.
  for (const bool partial : {false, true}) {
    if (!whole && !partial) {
      continue;
    }
    try {
      p.take(p.parse(partial), whole, 0, delta);
      return delta;
    } catch (const std::exception&) {
      continue;
    }
  }
  p.take_broken(true, delta);
  return delta;
}

bool AnswerReader::called() const {
  return std::ranges::any_of(parts_->calls, [](const auto& call) { return call.announced; });
}

bool AnswerReader::thinking() const {
  return parts_->content.empty() && parts_->calls.empty() && !parts_->reasoning.empty();
}

std::uint64_t AnswerReader::parses() const {
  return parts_->parses;
}

}  // namespace deepmoat::engine
