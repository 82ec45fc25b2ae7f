#include "wire/chat_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "wire/call_fields.h"

namespace deepmoat::wire {

namespace {

bool is_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::kToolNameBytesMax &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

}  // namespace

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

OrRefusal<> ToolList::check_count(std::size_t count) {
  if (count > limits::kToolsMax) {
    return refuse("tools",
                  fmt::format("'tools' holds {} tools and may hold {}.", count, limits::kToolsMax));
  }
  return {};
}

OrRefusal<> ToolList::add(const Object& fields, std::string_view schema_name,
                          const std::string& at) {
  TRY(auto name, in(at, read_text(fields, "name")));
  if (!name) {
    return refuse_missing(at + ".name");
  }
  if (!is_tool_name(*name)) {
    return refuse(at + ".name", fmt::format("'{}.name' must be 1 to {} of A-Z a-z 0-9 _ - .", at,
                                            limits::kToolNameBytesMax));
  }
  if (!names_.insert(*name).second) {
    return refuse(at + ".name", fmt::format("Two tools have the name '{}'.", *name));
  }
  Tool& tool = *chat_.add_tools();
  TRY(auto description, in(at, read_text(fields, "description")));
  tool.set_name(*std::move(name));
  tool.set_description(std::move(description).value_or(""));
  TRY(const auto schema, in(at, read_object(fields, schema_name)));
  if (schema) {
    tool.set_parameters(json_text(*schema));
  }
  bytes_ += tool.description().size() + tool.parameters().size();
  if (bytes_ > limits::kSchemaBytesMax) {
    return refuse("tools", fmt::format("The tools' descriptions and schemas have more than {} "
                                       "bytes in all.",
                                       limits::kSchemaBytesMax));
  }
  return {};
}

OrRefusal<> ToolList::choose(ToolChoice choice, std::string name) {
  if (choice == TOOL_REQUIRED && names_.empty()) {
    return refuse("tool_choice", "'tool_choice' demands a tool, and 'tools' has none.");
  }
  if (choice == TOOL_NAMED && !names_.contains(name)) {
    return refuse("tool_choice",
                  fmt::format("'tool_choice' names '{}', which is not among 'tools'.", name));
  }
  chat_.set_tool_choice(choice);
  chat_.set_tool_name(std::move(name));
  return {};
}

OrRefusal<> ToolCallLog::note(const ToolCall& call, const std::string& at) {
  if (call.id().empty()) {
    return refuse_missing(at + ".id");
  }
  if (!is_tool_name(call.name())) {
    return refuse(at, fmt::format("'{}' names no tool: 1 to {} of A-Z a-z 0-9 _ - .", at,
                                  limits::kToolNameBytesMax));
  }
  ids_.insert(call.id());
  return {};
}

OrRefusal<> ToolCallLog::check_answer(const std::string& id, const std::string& param) const {
  if (id.empty()) {
    return refuse_missing(param);
  }
  if (!ids_.contains(id)) {
    return refuse(
        param,
        fmt::format("'{}' is '{}', and no earlier message calls a tool by that id.", param, id));
  }
  return {};
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
