#include "worker/prepare.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/limits.h"

namespace deepmoat::worker {

namespace {

engine::OutputFormat to_output(const wire::OutputFormat& format) {
  using Kind = engine::OutputFormat::Kind;
  switch (format.format_case()) {
    case wire::OutputFormat::kJsonObject:
      return {.kind = format.json_object() ? Kind::json_object : Kind::text};
    case wire::OutputFormat::kJsonSchema:
      return {.kind = Kind::json_schema, .definition = format.json_schema()};
    case wire::OutputFormat::kGrammar:
      return {.kind = Kind::grammar, .definition = format.grammar()};
    case wire::OutputFormat::FORMAT_NOT_SET:
      break;
  }
  return {};
}

engine::ToolChoice to_choice(wire::ToolChoice choice) {
  switch (choice) {
    case wire::TOOL_NONE:
      return engine::ToolChoice::none;
    case wire::TOOL_REQUIRED:
      return engine::ToolChoice::required;
    case wire::TOOL_NAMED:
      return engine::ToolChoice::named;
    default:
      return engine::ToolChoice::automatic;
  }
}

engine::Message to_message(const wire::ChatMessage& message) {
  engine::Message made{.role = message.role(),
                       .content = message.content(),
                       .reasoning_content = message.reasoning_content(),
                       .tool_call_id = message.tool_call_id(),
                       .name = message.name()};
  for (const wire::ToolCall& call : message.tool_calls()) {
    made.tool_calls.push_back(
        {.id = call.id(), .name = call.name(), .arguments = call.arguments()});
  }
  return made;
}

engine::ChatRequest to_chat(const wire::ChatPrompt& chat, const wire::OutputFormat& format) {
  engine::ChatRequest made;
  for (const wire::ChatMessage& message : chat.messages()) {
    made.messages.push_back(to_message(message));
  }
  for (const wire::Tool& tool : chat.tools()) {
    made.tools.push_back(
        {.name = tool.name(), .description = tool.description(), .parameters = tool.parameters()});
  }
  made.tool_choice = to_choice(chat.tool_choice());
  made.tool_name = chat.tool_name();
  made.parallel_tool_calls = chat.parallel_tool_calls();
  if (chat.has_thinking()) {
    made.thinking = chat.thinking();
  }
  made.reasoning_effort = chat.reasoning_effort();
  made.continue_last = chat.continue_last();
  made.output = to_output(format);
  return made;
}

Result<engine::Prompt> make_prompt(const engine::Model& model, const wire::InferRequest& request) {
  switch (request.prompt_case()) {
    case wire::InferRequest::kText:
      return engine::make_text_prompt(model, request.text(), to_output(request.format()));
    case wire::InferRequest::kFill:
      return engine::make_fill_prompt(model, request.fill().prefix(), request.fill().suffix(),
                                      to_output(request.format()));
    case wire::InferRequest::kTokens:
      return engine::make_token_prompt(
          model, {request.tokens().ids().begin(), request.tokens().ids().end()},
          to_output(request.format()));
    case wire::InferRequest::kChat:
      if (!request.chat().messages().empty()) {
        return engine::make_chat_prompt(model, to_chat(request.chat(), request.format()));
      }
      break;
    default:
      break;
  }
  return fail(Code::invalid_argument, "messages: there are none");
}

std::string echo_of(const engine::Model& model, const wire::InferRequest& request) {
  if (!request.echo()) {
    return {};
  }
  switch (request.prompt_case()) {
    case wire::InferRequest::kText:
      return request.text();
    case wire::InferRequest::kFill:
      return request.fill().prefix();
    case wire::InferRequest::kTokens:
      return engine::text_of(model, {request.tokens().ids().begin(), request.tokens().ids().end()});
    default:
      return {};
  }
}

wire::Refused to_refused(std::uint64_t call_id, const Error& error) {
  wire::Refused refused;
  refused.set_call_id(call_id);
  refused.set_kind(error.code == Code::not_found ? wire::Refused::UNSUPPORTED
                                                 : wire::Refused::INVALID);
  refused.set_message(error.message);
  refused.set_param(error.message.substr(0, error.message.find_first_of(":[.")));
  return refused;
}

}  // namespace

Result<std::vector<std::vector<engine::Token>>> read_public_prefixes(
    const engine::Model& model, const std::vector<std::filesystem::path>& files) {
  std::vector<std::vector<engine::Token>> prefixes;
  for (const std::filesystem::path& file : files) {
    TRY(const std::string text, read_file(file, limits::kBodyBytesMaxDefault));
    TRY(std::vector<engine::Token> tokens, engine::make_system_prefix(model, text));
    prefixes.push_back(std::move(tokens));
  }
  return prefixes;
}

Preparer::Preparer(const engine::Model& model, const Clock& clock,
                   std::vector<std::vector<engine::Token>> public_prefixes)
    : model_(model), clock_(clock), public_prefixes_(std::move(public_prefixes)) {}

std::expected<PreparedCall, wire::Refused> Preparer::prepare(wire::InferRequest request) const {
  PreparedCall call;
  call.arrived_ns = clock_.mono_ns();
  // What this model is not for goes on as it is, to be refused by name.
  if (model_.facts().task == engine::Task::generate && !request.has_embed() &&
      !request.has_rerank()) {
    Result<engine::Prompt> prompt = make_prompt(model_, request);
    if (!prompt) {
      return std::unexpected(to_refused(request.call_id(), prompt.error()));
    }
    call.prompt = *std::move(prompt);
    call.public_tokens = public_tokens(call.prompt.tokens);
    call.echo = echo_of(model_, request);
    request.clear_prompt();
  }
  call.request = std::move(request);
  return call;
}

std::uint32_t Preparer::public_tokens(const std::vector<engine::Token>& prompt) const {
  std::size_t longest = 0;
  for (const std::vector<engine::Token>& prefix : public_prefixes_) {
    const bool begins =
        prefix.size() <= prompt.size() && std::equal(prefix.begin(), prefix.end(), prompt.begin());
    longest = begins ? std::max(longest, prefix.size()) : longest;
  }
  return static_cast<std::uint32_t>(longest);
}

}  // namespace deepmoat::worker
