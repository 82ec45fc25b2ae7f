#include "engine/generic_tools.h"

#include <chat-peg-parser.h>
#include <json-schema-to-grammar.h>

#include <nlohmann/json.hpp>

namespace deepmoat::engine {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kCallStart = "<tool_call>";
constexpr const char* kCallEnd = "</tool_call>";

Json parsed_or_text(const std::string& json) {
  Json parsed = Json::parse(json, nullptr, false);
  return parsed.is_discarded() ? Json(json) : parsed;
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string instructions(const common_chat_templates_inputs& inputs) {
  std::string text = "You can call these functions, given as JSON:\n";
  for (const common_chat_tool& tool : inputs.tools) {
    text += dumped(Json{{"name", tool.name},
                        {"description", tool.description},
                        {"parameters", parsed_or_text(tool.parameters)}}) +
            "\n";
  }
  text += std::string("To call a function, answer with\n") + kCallStart +
          "\n{\"name\": the function's name, \"arguments\": an object}\n" + kCallEnd + "\n";
  if (inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) {
    text += "You must call a function now.\n";
  }
  return text;
}

}  // namespace

common_chat_templates_inputs tools_as_text(common_chat_templates_inputs inputs) {
  const std::string text = instructions(inputs);
  if (inputs.messages.empty() || inputs.messages.front().role != "system") {
    common_chat_msg system;
    system.role = "system";
    inputs.messages.insert(inputs.messages.begin(), system);
  }
  std::string& system = inputs.messages.front().content;
  system += (system.empty() ? "" : "\n\n") + text;
  for (common_chat_msg& message : inputs.messages) {
    for (const common_chat_tool_call& call : message.tool_calls) {
      message.content +=
          (message.content.empty() ? "" : "\n") + std::string(kCallStart) + "\n" +
          dumped(Json{{"name", call.name}, {"arguments", parsed_or_text(call.arguments)}}) + "\n" +
          kCallEnd;
    }
    message.tool_calls.clear();
    if (message.role == "tool") {
      message.role = "user";
      message.content = "<tool_response>\n" + message.content + "\n</tool_response>";
    }
  }
  inputs.tools.clear();
  inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
  return inputs;
}

common_chat_params generic_tool_params(const common_chat_templates_inputs& inputs,
                                       const std::string& generation_prompt,
                                       const ThinkingTags& thinking) {
  const bool required = inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED;
  const common_json tools = common_chat_tools_to_json_oaicompat(inputs.tools);
  const auto parser = build_chat_peg_parser([&](common_chat_peg_builder& p) {
    const auto call =
        p.standard_json_tools(kCallStart, kCallEnd, tools, false, true, "name", "arguments") +
        p.space();
    const auto calls =
        p.trigger_rule("tool-calls", inputs.parallel_tool_calls ? p.one_or_more(call) : call);
    const auto thoughts =
        thinking.known()
            ? p.optional(p.optspace(thinking.start) + p.reasoning(p.until(thinking.ends.front())) +
                         p.optspace(thinking.ends.front()))
            : p.eps();
    const auto answer = required ? calls : p.content(p.until(kCallStart)) + p.optional(calls);
    return p.prefix(generation_prompt, thinking.start) + thoughts + p.space() + answer + p.end();
  });
  common_chat_params params;
  params.format = COMMON_CHAT_FORMAT_PEG_NATIVE;
  params.generation_prompt = generation_prompt;
  params.parser = parser.save();
  params.grammar_lazy = !required;
  params.grammar = build_grammar([&](const common_grammar_builder& builder) {
    parser.build_grammar(builder, params.grammar_lazy);
  });
  params.grammar_triggers = {{COMMON_GRAMMAR_TRIGGER_TYPE_WORD, kCallStart}};
  params.preserved_tokens = {kCallStart, kCallEnd};
  params.supports_thinking = thinking.known();
  params.thinking_start_tag = thinking.start;
  params.thinking_end_tags = thinking.ends;
  return params;
}

}  // namespace deepmoat::engine
