#include "engine/answer_reader.h"

#include <algorithm>
#include <array>
#include <exception>
#include <span>
#include <utility>

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

constexpr std::string_view kSpace = " \t\r\n";

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
  std::string held_content = {};       // white space that may turn out to be at the end
  std::string held_reasoning = {};
  bool content_begun = false;  // of what was handed out
  bool reasoning_begun = false;
  std::uint64_t parses = 0;

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

  // `fed`: what is new in the text since the last parse.
  void take(const common_chat_msg& now, bool last, std::string_view fed, AnswerDelta& delta) {
    const std::string more_content = grown(before_content + content, now.content);
    const std::string more_reasoning = grown(before_reasoning + reasoning, now.reasoning_content);
    content += more_content;
    reasoning += more_reasoning;
    growing = more_content == fed && more_reasoning.empty()   ? Growing::content
              : more_reasoning == fed && more_content.empty() ? Growing::reasoning
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

  // Templates put lines around thoughts and before calls; they are no part of either.
  void trim(bool last, AnswerDelta& delta) {
    const auto apply = [](std::string& text, std::string& held, bool begun) {
      const std::size_t first = begun ? 0 : text.find_first_not_of(kSpace);
      text.erase(0, first);  // npos: all
      if (text.empty()) {
        return;
      }
      text.insert(0, std::exchange(held, {}));
      const std::size_t end = text.find_last_not_of(kSpace) + 1;
      held = text.substr(end);
      text.erase(end);
    };
    apply(delta.reasoning, held_reasoning, reasoning_begun);
    reasoning_begun = reasoning_begun || !delta.reasoning.empty();
    apply(delta.content, held_content, content_begun || reasoning.empty());
    content_begun = content_begun || !delta.content.empty();
    if (last && calls.empty()) {
      delta.content += std::exchange(held_content, {});
    }
  }

  // The model did not keep to its format. What was understood stays; the rest is shown unless it
  // holds markup.
  void take_broken(bool last, AnswerDelta& delta) {
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

  void read(std::string_view text, AnswerDelta& delta) {
    raw += text;
    if (take_plain(text, delta)) {
      return;
    }
    const std::size_t waiting = raw.size() - parsed;
    if (raw.size() > kParseAlwaysBytes && waiting < raw.size() / kParseShare) {
      growing = Growing::unknown;
      return;
    }
    try {
      const common_chat_msg now = parse(true);
      take(now, false, std::string_view(raw).substr(raw.size() - waiting), delta);
    } catch (const std::exception&) {
      take_broken(false, delta);
    }
  }

  // A text that a limit cut, or that breaks its format, is still read as far as it goes.
  void read_end(bool whole, AnswerDelta& delta) {
    if (whole && try_take(raw, false, whole, delta)) {
      return;
    }
    std::size_t call = std::string::npos;
    for (const std::string& word : format->call_words) {
      call = std::min(call, raw.find(word));
    }
    const bool before =
        call != std::string::npos && try_take(raw.substr(0, call), true, whole, delta);
    if (!try_take(raw, true, whole, delta) && !before) {
      take_broken(true, delta);
    }
  }

  bool try_take(const std::string& text, bool partial, bool last, AnswerDelta& delta) {
    try {
      ++parses;
      take(common_chat_parse(text, partial, format->parser), last, {}, delta);
      return true;
    } catch (const std::exception&) {
      return false;
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
    p.before_content.clear();  // then its beginning is seen again
  }
  p.content_begun = !p.before_content.empty();
  p.reasoning_begun = !p.before_reasoning.empty();
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
  if (!text.empty()) {
    p.read(text, delta);
    p.trim(false, delta);
  }
  return delta;
}

AnswerDelta AnswerReader::finish(bool whole) {
  Parts& p = *parts_;
  AnswerDelta delta;
  if (p.format != nullptr && p.format->parsed) {
    p.read_end(whole, delta);
    p.trim(true, delta);
  }
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
