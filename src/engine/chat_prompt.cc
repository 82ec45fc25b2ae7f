// Chats to prompts.
#include <common.h>

#include <algorithm>
#include <array>
#include <exception>
#include <set>

#include "base/limits.h"
#include "engine/chat_format.h"
#include "engine/control_text.h"
#include "engine/handles.h"
#include "engine/output_format.h"
#include "engine/prompt.h"

namespace deepmoat::engine {

namespace {

constexpr std::array kRoles = {"system", "developer", "user", "assistant", "tool"};
constexpr std::array kEfforts = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};

std::string at_index(const char* field, std::size_t index) {
  return field + ("[" + std::to_string(index) + "]");
}

Result<std::vector<common_chat_msg>> to_library(const std::vector<Message>& messages) {
  std::vector<common_chat_msg> made;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    if (std::ranges::find(kRoles, message.role) == kRoles.end()) {
      return fail(Code::invalid_argument, at_index("messages", i) +
                                              ".role: use system, developer, user, assistant or "
                                              "tool");
    }
    common_chat_msg& one = made.emplace_back();
    one.role = message.role == "developer" ? "system" : message.role;
    one.content = message.content;
    one.reasoning_content = message.reasoning_content;
    one.tool_call_id = message.tool_call_id;
    one.tool_name = message.name;
    for (const ToolCall& call : message.tool_calls) {
      one.tool_calls.push_back({.name = call.name,
                                .arguments = call.arguments.empty() ? "{}" : call.arguments,
                                .id = call.id});
    }
  }
  return made;
}

bool is_tool_name(const std::string& name) {
  return !name.empty() && name.size() <= limits::kToolNameBytesMax &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.' || c == ':' || c == '/';
         });
}

Result<> take_tools(const ChatRequest& request, common_chat_templates_inputs& inputs) {
  if (request.tools.size() > limits::kToolsMax) {
    return fail(Code::invalid_argument, "tools: at most " + std::to_string(limits::kToolsMax));
  }
  if (request.tool_choice == ToolChoice::none) {
    return {};  // not shown to the model: it must not be tempted
  }
  std::set<std::string> names;
  for (std::size_t i = 0; i < request.tools.size(); ++i) {
    const Tool& tool = request.tools[i];
    if (!is_tool_name(tool.name) || !names.insert(tool.name).second) {
      return fail(Code::invalid_argument,
                  at_index("tools", i) +
                      ".function.name: use letters, digits, _ and -, and each "
                      "name once");
    }
    if (request.tool_choice == ToolChoice::named && tool.name != request.tool_name) {
      continue;
    }
    const std::string parameters =
        tool.parameters.empty() ? R"({"type":"object","properties":{}})" : tool.parameters;
    if (const Result<> checked = check_schema(parameters, false); !checked) {
      return fail(Code::invalid_argument,
                  at_index("tools", i) + ".function.parameters: " + checked.error().message);
    }
    inputs.tools.push_back({tool.name, tool.description, parameters});
  }
  const bool forced =
      request.tool_choice == ToolChoice::required || request.tool_choice == ToolChoice::named;
  if (forced && inputs.tools.empty()) {
    return fail(Code::invalid_argument,
                request.tools.empty() ? "tool_choice: it asks for a call, and there are no tools"
                                      : "tool_choice: no tool has that name");
  }
  inputs.tool_choice = forced ? COMMON_CHAT_TOOL_CHOICE_REQUIRED : COMMON_CHAT_TOOL_CHOICE_AUTO;
  inputs.parallel_tool_calls =
      request.parallel_tool_calls && request.tool_choice != ToolChoice::named;
  if (!inputs.tools.empty() && request.output.kind != OutputFormat::Kind::text) {
    return fail(Code::invalid_argument, "response_format: it cannot be combined with tools");
  }
  return {};
}

Result<> take_thinking(const ChatRequest& request, common_chat_templates_inputs& inputs) {
  if (request.thinking) {
    inputs.enable_thinking = *request.thinking;
    for (const char* name : {"enable_thinking", "thinking"}) {
      inputs.chat_template_kwargs[name] = *request.thinking ? "true" : "false";
    }
  }
  if (!request.reasoning_effort.empty()) {
    if (std::ranges::find(kEfforts, request.reasoning_effort) == kEfforts.end()) {
      return fail(Code::invalid_argument,
                  "reasoning_effort: use none, minimal, low, medium, high, xhigh or max");
    }
    inputs.chat_template_kwargs["reasoning_effort"] = '"' + request.reasoning_effort + '"';
    if (request.reasoning_effort == "none" && !request.thinking) {
      inputs.enable_thinking = false;
    }
  }
  return {};
}

Result<common_chat_templates_inputs> to_inputs(const ChatRequest& request) {
  common_chat_templates_inputs inputs;
  inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
  TRY(inputs.messages, to_library(request.messages));
  CHECK_OK(take_tools(request, inputs));
  CHECK_OK(take_thinking(request, inputs));
  TRY(inputs.json_schema, schema_of(request.output));
  if (request.continue_last) {
    if (inputs.messages.empty() || inputs.messages.back().role != "assistant" ||
        !inputs.messages.back().tool_calls.empty()) {
      return fail(
          Code::invalid_argument,
          "messages: to go on with the last one, it must be the assistant's, without calls");
    }
    inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
  }
  return inputs;
}

Result<Prompt> render(const ModelHandles& handles, const common_chat_templates_inputs& inputs,
                      const OutputFormat& output) {
  const ChatFormats& formats = *handles.chat_formats;
  const ControlTexts control(handles.control_texts);
  Prompt prompt;
  TRY(ChatFormats::Rendered rendered, formats.read(inputs));
  prompt.format = std::move(rendered.rules.format);
  prompt.constraint = std::move(rendered.rules.constraint);
  if (output.kind == OutputFormat::Kind::grammar) {
    TRY(prompt.constraint, compile_output(handles.vocab, output.definition, true));
  }
  if (holds_control_text(control, inputs)) {
    common_chat_templates_inputs marked = inputs;
    const std::optional<std::string> mark = mark_control_texts(control, marked);
    if (!mark) {
      return fail(Code::invalid_argument, "messages: too many Unicode noncharacters");
    }
    TRY(prompt.tokens, tokenise_marked(handles.vocab, formats.render(marked), *mark));
  } else {
    prompt.tokens = tokenise(handles.vocab, rendered.prompt, true, true);
  }
  prompt.marks = formats.marks(prompt.tokens);
  return prompt;
}

// What made the library throw: a schema of which no grammar can be made, or else the template.
std::string blame(const ChatRequest& request, const common_chat_templates_inputs& inputs,
                  const char* what) {
  if (!inputs.json_schema.empty()) {
    if (const auto grammar = grammar_of_schema(inputs.json_schema); !grammar) {
      return "response_format.json_schema: " + grammar.error().message;
    }
  }
  for (std::size_t i = 0; i < request.tools.size() && !inputs.tools.empty(); ++i) {
    const std::string& parameters = request.tools[i].parameters;
    if (parameters.empty()) {
      continue;
    }
    if (const auto grammar = grammar_of_schema(parameters); !grammar) {
      return at_index("tools", i) + ".function.parameters: " + grammar.error().message;
    }
  }
  return std::string(inputs.tools.empty() ? "messages" : "tools") +
         ": the model's chat template refuses it: " + what;
}

}  // namespace

Result<Prompt> make_chat_prompt(const Model& model, const ChatRequest& request) {
  if (!model.facts().chat) {
    return fail(Code::not_found, "model: it has no chat template; use /v1/completions");
  }
  TRY(const common_chat_templates_inputs inputs, to_inputs(request));
  try {
    return render(model.handles(), inputs, request.output);
  } catch (const std::exception& error) {
    return fail(Code::invalid_argument, blame(request, inputs, error.what()));
  }
}

Result<std::vector<Token>> make_system_prefix(const Model& model, std::string_view text) {
  const auto with_user = [&](const char* words) {
    return make_chat_prompt(model, {.messages = {{.role = "system", .content = std::string(text)},
                                                 {.role = "user", .content = words}}});
  };
  TRY(const Prompt one, with_user("one"));
  TRY(const Prompt two, with_user("2"));
  const auto differs = std::ranges::mismatch(one.tokens, two.tokens);
  return std::vector<Token>(one.tokens.begin(), differs.in1);
}

}  // namespace deepmoat::engine
