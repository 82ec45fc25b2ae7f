#include "wire/tool_fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/limits.h"

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

OrRefusal<> read_tool_list(const Object& object, const ReadTool& read_one) {
  TRY(const auto list, read_list(object, "tools"));
  if (!list) {
    return {};
  }
  if (list->size() > limits::kToolsMax) {
    return refuse("tools", fmt::format("'tools' holds {} tools and may hold {}.", list->size(),
                                       limits::kToolsMax));
  }
  std::size_t index = 0;
  for (const Element element : *list) {
    const std::string at = fmt::format("tools[{}]", index);
    Object fields;
    if (element.get(fields) != simdjson::SUCCESS) {
      return refuse_type(at, "an object");
    }
    CHECK_OK(read_one(fields, at));
    ++index;
  }
  return {};
}

OrRefusal<> check_is_function(const Object& fields, const std::string& at) {
  TRY(const auto type, in(at, read_text(fields, "type")));
  if (type != "function") {
    return refuse_unsupported(at + ".type", "it must be 'function'");
  }
  return {};
}

OrRefusal<> read_function_choice(const Object& object, std::string_view holder, ToolList& tools) {
  TRY(const auto parallel, read_bool(object, "parallel_tool_calls"));
  tools.allow_parallel(parallel.value_or(true));
  const auto element = find_field(object, "tool_choice");
  if (!element) {
    return {};
  }
  std::string_view word;
  if (element->get(word) == simdjson::SUCCESS) {
    if (word != "auto" && word != "none" && word != "required") {
      return refuse("tool_choice",
                    "'tool_choice' must be none, auto, required, or an object that names a tool.");
    }
    return tools.choose(word == "none" ? TOOL_NONE : word == "auto" ? TOOL_AUTO : TOOL_REQUIRED);
  }
  Object fields;
  if (element->get(fields) != simdjson::SUCCESS) {
    return refuse_type("tool_choice", "a string or an object");
  }
  CHECK_OK(check_is_function(fields, "tool_choice"));
  std::string at = "tool_choice";
  if (!holder.empty()) {
    TRY(const auto function, in(at, read_object(fields, holder)));
    at += fmt::format(".{}", holder);
    if (!function) {
      return refuse_missing(at);
    }
    fields = *function;
  }
  TRY(auto name, in(at, read_text(fields, "name")));
  if (!name) {
    return refuse_missing(at + ".name");
  }
  return tools.choose(TOOL_NAMED, *std::move(name));
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

}  // namespace deepmoat::wire
