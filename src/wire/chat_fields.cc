#include "wire/chat_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "wire/call_fields.h"

namespace deepmoat::wire {

std::unexpected<Refusal> refuse_part(const std::string& at, std::string_view type) {
  return refuse(at,
                fmt::format("'{}' holds a part of type '{}'; this server takes text alone, no "
                            "images, sound or files.",
                            at, type),
                "unsupported_parameter");
}

OrRefusal<std::string> read_content(const Element& content, const std::string& at) {
  std::string_view text;
  if (content.get(text) == simdjson::SUCCESS) {
    return std::string(text);
  }
  simdjson::dom::array parts;
  if (content.get(parts) != simdjson::SUCCESS) {
    return refuse_type(at, "a string or a list of parts");
  }
  std::string joined;
  for (const Element part : parts) {
    std::string_view type;
    if (part.at_key("type").get(type) != simdjson::SUCCESS) {
      return refuse(at, fmt::format("A part of '{}' has no 'type'.", at), "unsupported_parameter");
    }
    if (type != "text" && type != "refusal" && type != "input_text" && type != "output_text") {
      return refuse_part(at, type);
    }
    const std::string_view name = type == "refusal" ? "refusal" : "text";
    if (part.at_key(name).get(text) != simdjson::SUCCESS) {
      return refuse(at, fmt::format("A part of '{}' has no string '{}'.", at, name),
                    "invalid_type");
    }
    joined += text;
  }
  return joined;
}

OrRefusal<> set_effort(const std::string& word, const std::string& param, ChatPrompt& chat) {
  static constexpr std::array<std::string_view, 8> kWords = {"none", "minimal", "low", "medium",
                                                             "high", "xhigh",   "max", "ultra"};
  if (std::ranges::find(kWords, word) == kWords.end()) {
    return refuse(param, fmt::format("'{}' must be none, minimal, low, medium, high, xhigh, max "
                                     "or ultra.",
                                     param));
  }
  if (word == "none") {
    chat.set_thinking(false);
  } else {
    chat.set_reasoning_effort(word);
  }
  return {};
}

OrRefusal<> read_thinking(const Object& object, InferRequest& infer) {
  TRY(const auto thinking, read_object(object, "thinking"));
  if (!thinking) {
    return {};
  }
  TRY(const auto type, in("thinking", read_text(*thinking, "type")));
  if (type == "enabled" || type == "disabled") {
    infer.mutable_chat()->set_thinking(type == "enabled");
  } else if (type != "adaptive") {
    return refuse("thinking.type", "'thinking.type' must be enabled, disabled or adaptive.");
  }
  TRY(const auto budget,
      in("thinking", read_integer(*thinking, "budget_tokens", 0, kAnswerTokensMax)));
  if (budget) {
    infer.set_reasoning_budget(static_cast<std::uint32_t>(*budget));
  }
  return {};
}

}  // namespace deepmoat::wire
