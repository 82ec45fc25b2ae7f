#include "engine/control_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace deepmoat::engine {

namespace {

using Json = nlohmann::ordered_json;

// Every text of a user in a chat; `json` gets those that are JSON.
template <class Inputs, class Text, class JsonText>
void for_each_text(Inputs& inputs, Text text, JsonText json) {
  for (auto& message : inputs.messages) {
    text(message.content);
    text(message.reasoning_content);
    text(message.tool_name);
    text(message.tool_call_id);
    for (auto& call : message.tool_calls) {
      text(call.id);
      text(call.name);
      json(call.arguments);
    }
  }
  for (auto& tool : inputs.tools) {
    text(tool.name);
    text(tool.description);
    json(tool.parameters);
  }
  json(inputs.json_schema);
}

// A noncharacter (U+FDD0 to U+FDEF) that stands in no text.
std::optional<std::string> free_mark(const common_chat_templates_inputs& inputs) {
  for (char last = '\x90'; last <= '\xAF'; ++last) {
    const std::string mark = {'\xEF', '\xB7', last};
    bool used = false;
    const auto look = [&](const std::string& text) {
      used = used || text.find(mark) != std::string::npos;
    };
    const auto look_in_json = [&](const std::string& text) {
      look(text);
      const Json parsed = Json::parse(text, nullptr, false);
      if (!parsed.is_discarded()) {
        look(parsed.dump(-1, ' ', false, Json::error_handler_t::replace));
      }
    };
    for_each_text(inputs, look, look_in_json);
    if (!used) {
      return mark;
    }
  }
  return std::nullopt;
}

Json with_marks(const Json& value, const ControlTexts& control, std::string_view mark) {
  if (value.is_string()) {
    return control.marked(value.get_ref<const std::string&>(), mark);
  }
  if (value.is_array()) {
    Json made = Json::array();
    for (const Json& item : value) {
      made.push_back(with_marks(item, control, mark));
    }
    return made;
  }
  if (value.is_object()) {
    Json made = Json::object();
    for (const auto& [name, member] : value.items()) {
      made[control.marked(name, mark)] = with_marks(member, control, mark);
    }
    return made;
  }
  return value;
}

}  // namespace

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

ControlTexts::ControlTexts(const std::vector<std::string>& texts) : texts_(texts) {
  for (const std::string& text : texts_) {
    starts_[static_cast<unsigned char>(text[0])] = true;
  }
}

// Length of the control text at `at`; 0: there is none.
std::size_t ControlTexts::match(std::string_view text, std::size_t at) const {
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

bool ControlTexts::found_in(std::string_view text) const {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (match(text, i) > 0) {
      return true;
    }
  }
  return false;
}

std::string ControlTexts::marked(std::string_view text, std::string_view mark) const {
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

bool ControlTexts::found_in_json(const std::string& json) const {
  if (json.empty()) {
    return false;
  }
  const Json parsed = Json::parse(json, nullptr, false);
  return found_in(json) || (!parsed.is_discarded() &&
                            found_in(parsed.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

std::string ControlTexts::marked_json(const std::string& json, std::string_view mark) const {
  if (!found_in_json(json)) {
    return json;
  }
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) {
    return marked(json, mark);
  }
  return with_marks(parsed, *this, mark).dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool holds_control_text(const ControlTexts& control, const common_chat_templates_inputs& inputs) {
  bool found = false;
  for_each_text(
      inputs, [&](const std::string& text) { found = found || control.found_in(text); },
      [&](const std::string& json) { found = found || control.found_in_json(json); });
  return found;
}

std::optional<std::string> mark_control_texts(const ControlTexts& control,
                                              common_chat_templates_inputs& inputs) {
  const std::optional<std::string> mark = free_mark(inputs);
  if (mark) {
    for_each_text(
        inputs, [&](std::string& text) { text = control.marked(text, *mark); },
        [&](std::string& json) { json = control.marked_json(json, *mark); });
  }
  return mark;
}

Result<std::vector<Token>> tokenise_marked(const llama_vocab* vocab, std::string_view text,
                                           std::string_view mark, bool first) {
  std::vector<Token> tokens;
  std::string typed;
  std::size_t part = 0;
  for (;; ++part) {
    const std::size_t end = text.find(mark);
    const std::string_view piece = text.substr(0, end);
    if (part % 3 == 0) {
      const auto made = tokenise(vocab, piece, first && part == 0, true);
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

}  // namespace deepmoat::engine
