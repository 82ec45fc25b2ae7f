// Typed control texts. A message that holds the text of a control token ("<|im_end|>") would close
// its turn when the rendered prompt is tokenised as one. Such occurrences are marked before the
// template runs and tokenised apart, as plain text:
//
//   occurrence "<|im_end|>"  ->  M "<" M "|im_end|>" M      M: a noncharacter that no message holds
//
// After rendering, the parts between marks are template, first, rest, template, first, rest, ...
// The inner mark keeps the template's own logic from acting on the text.
#include "engine/prompt.h"

#include <common.h>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>

#include "engine/answer_format.h"
#include "engine/handles.h"

namespace deepmoat::engine {

namespace {

constexpr std::array kRoles = {"system", "developer", "user", "assistant", "tool"};

std::vector<Token> tokenise(const llama_vocab* vocab, std::string_view text, bool first,
                            bool special) {
  if (text.empty() && !first) {
    return {};
  }
  const auto length = static_cast<std::int32_t>(text.size());
  std::vector<Token> tokens(text.size() + 8);
  std::int32_t count = llama_tokenize(vocab, text.data(), length, tokens.data(),
                                      static_cast<std::int32_t>(tokens.size()), first, special);
  if (count < 0 && count != INT32_MIN) {
    tokens.resize(static_cast<std::size_t>(-count));
    count = llama_tokenize(vocab, text.data(), length, tokens.data(),
                           static_cast<std::int32_t>(tokens.size()), first, special);
  }
  tokens.resize(static_cast<std::size_t>(std::max(count, 0)));
  return tokens;
}

// Finds control texts in what users wrote.
class Marker {
 public:
  explicit Marker(const std::vector<std::string>& control_texts) : texts_(control_texts) {
    for (const std::string& text : texts_) {
      starts_[static_cast<unsigned char>(text[0])] = true;
    }
  }

  // Length of the control text at `at`; 0: there is none.
  [[nodiscard]] std::size_t match(std::string_view text, std::size_t at) const {
    if (!starts_[static_cast<unsigned char>(text[at])]) {
      return 0;
    }
    for (const std::string& candidate : texts_) {
      if (text.substr(at).starts_with(candidate)) {
        return candidate.size();
      }
    }
    return 0;
  }

  [[nodiscard]] bool found_in(std::string_view text) const {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (match(text, i) > 0) {
        return true;
      }
    }
    return false;
  }

  [[nodiscard]] std::string marked(std::string_view text, std::string_view mark) const {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t length = match(text, i);
      if (length == 0) {
        out += text[i++];
        continue;
      }
      std::size_t first = 1;  // the whole first character
      while (first < length && (static_cast<unsigned char>(text[i + first]) & 0xC0U) == 0x80U) {
        ++first;
      }
      out.append(mark).append(text.substr(i, first)).append(mark);
      out.append(text.substr(i + first, length - first)).append(mark);
      i += length;
    }
    return out;
  }

 private:
  const std::vector<std::string>& texts_;
  std::array<bool, 256> starts_{};
};

template <class Function>
void for_each_text(std::vector<common_chat_msg>& messages, Function function) {
  for (common_chat_msg& message : messages) {
    function(message.content);
    function(message.reasoning_content);
    function(message.tool_name);
    function(message.tool_call_id);
  }
}

// A noncharacter (U+FDD0 to U+FDEF) that stands in no message.
std::optional<std::string> free_mark(std::vector<common_chat_msg>& messages) {
  for (char last = '\x90'; last <= '\xAF'; ++last) {
    const std::string mark = {'\xEF', '\xB7', last};
    bool used = false;
    for_each_text(messages, [&](const std::string& text) {
      used = used || text.find(mark) != std::string::npos;
    });
    if (!used) {
      return mark;
    }
  }
  return std::nullopt;
}

// Tokenises a rendered prompt whose occurrences are marked.
Result<std::vector<Token>> tokenise_marked(const llama_vocab* vocab, std::string_view text,
                                           std::string_view mark) {
  std::vector<Token> tokens;
  std::string typed;
  std::size_t part = 0;
  for (;; ++part) {
    const std::size_t end = text.find(mark);
    const std::string_view piece = text.substr(0, end);
    if (part % 3 == 0) {
      const auto made = tokenise(vocab, piece, part == 0, true);
      tokens.insert(tokens.end(), made.begin(), made.end());
    } else if (part % 3 == 1) {
      typed = piece;
    } else {
      typed += piece;
      const auto made = tokenise(vocab, typed, false, false);
      tokens.insert(tokens.end(), made.begin(), made.end());
    }
    if (end == std::string_view::npos) {
      break;
    }
    text.remove_prefix(end + mark.size());
  }
  if (part % 3 != 0) {
    return fail(Code::invalid_argument,
                "messages: the model's chat template cannot carry the text of a control token");
  }
  return tokens;
}

std::shared_ptr<const AnswerFormat> format_of(const llama_vocab* vocab,
                                              const common_chat_params& params) {
  auto format = std::make_shared<AnswerFormat>();
  format->stops = params.additional_stops;
  format->reasoning = params.supports_thinking && !params.parser.empty();
  if (format->reasoning) {
    format->parser = common_chat_parser_params(params);
    format->parser.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    format->parser.parser.load(params.parser);
    for (const std::string& text : params.preserved_tokens) {
      const auto tokens = tokenise(vocab, text, false, true);
      if (tokens.size() == 1) {
        format->shown.insert(tokens[0]);
      }
    }
  }
  return format;
}

Result<std::vector<common_chat_msg>> to_library(const std::vector<Message>& messages) {
  std::vector<common_chat_msg> made;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    if (std::ranges::find(kRoles, message.role) == kRoles.end()) {
      return fail(Code::invalid_argument,
                  "messages[" + std::to_string(i) +
                      "].role: use system, developer, user, assistant or tool");
    }
    common_chat_msg& one = made.emplace_back();
    one.role = message.role == "developer" ? "system" : message.role;
    one.content = message.content;
    one.reasoning_content = message.reasoning_content;
    one.tool_call_id = message.tool_call_id;
    one.tool_name = message.name;
  }
  return made;
}

}  // namespace

Result<Prompt> make_chat_prompt(const Model& model, const std::vector<Message>& messages) {
  const ModelHandles& handles = model.handles();
  if (!model.facts().chat) {
    return fail(Code::invalid_argument, "model: it has no chat template; use /v1/completions");
  }
  common_chat_templates_inputs inputs;
  TRY(inputs.messages, to_library(messages));
  inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  const Marker marker(handles.control_texts);
  bool typed = false;
  for_each_text(inputs.messages,
                [&](const std::string& t) { typed = typed || marker.found_in(t); });
  std::string mark;
  if (typed) {
    const std::optional<std::string> found = free_mark(inputs.messages);
    if (!found) {
      return fail(Code::invalid_argument, "messages: too many Unicode noncharacters");
    }
    mark = *found;
    for_each_text(inputs.messages, [&](std::string& t) { t = marker.marked(t, mark); });
  }
  try {
    const common_chat_params params = common_chat_templates_apply(handles.templates.get(), inputs);
    Prompt prompt;
    prompt.format = format_of(handles.vocab, params);
    if (typed) {
      TRY(prompt.tokens, tokenise_marked(handles.vocab, params.prompt, mark));
    } else {
      prompt.tokens = tokenise(handles.vocab, params.prompt, true, true);
    }
    return prompt;
  } catch (const std::exception& error) {
    return fail(Code::invalid_argument,
                std::string("messages: the model's chat template refuses them: ") + error.what());
  }
}

Result<std::vector<Token>> make_system_prefix(const Model& model, std::string_view text) {
  const auto with_user = [&](const char* words) {
    return make_chat_prompt(model, {{.role = "system", .content = std::string(text)},
                                    {.role = "user", .content = words}});
  };
  TRY(const Prompt one, with_user("one"));
  TRY(const Prompt two, with_user("2"));
  const auto differs = std::ranges::mismatch(one.tokens, two.tokens);
  return std::vector<Token>(one.tokens.begin(), differs.in1);
}

Result<Prompt> make_text_prompt(const Model& model, std::string_view text) {
  Prompt prompt;
  prompt.tokens = tokenise(model.handles().vocab, text, true, false);
  if (prompt.tokens.empty()) {
    return fail(Code::invalid_argument, "prompt: it is empty");
  }
  return prompt;
}

std::size_t count_control_tokens(const Model& model, const std::vector<Token>& tokens) {
  return static_cast<std::size_t>(std::ranges::count_if(
      tokens, [&](Token token) { return llama_vocab_is_control(model.handles().vocab, token); }));
}

}  // namespace deepmoat::engine
