#include "worker/prepare.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/limits.h"

namespace deepmoat::worker {

namespace {

Result<engine::Prompt> make_prompt(const engine::Model& model, const wire::InferRequest& request) {
  if (request.prompt_case() == wire::InferRequest::kText) {
    return engine::make_text_prompt(model, request.text());
  }
  if (request.prompt_case() != wire::InferRequest::kChat || request.chat().messages().empty()) {
    return fail(Code::invalid_argument, "messages: there are none");
  }
  std::vector<engine::Message> messages;
  for (const wire::ChatMessage& message : request.chat().messages()) {
    messages.push_back({.role = message.role(),
                        .content = message.content(),
                        .reasoning_content = message.reasoning_content(),
                        .tool_call_id = message.tool_call_id(),
                        .name = message.name()});
  }
  return engine::make_chat_prompt(model, messages);
}

wire::Refused to_refused(std::uint64_t call_id, const Error& error) {
  wire::Refused refused;
  refused.set_call_id(call_id);
  refused.set_kind(wire::Refused::INVALID);
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
  if (!request.has_embed() && !request.has_rerank()) {
    Result<engine::Prompt> prompt = make_prompt(model_, request);
    if (!prompt) {
      return std::unexpected(to_refused(request.call_id(), prompt.error()));
    }
    call.prompt = *std::move(prompt);
    call.public_tokens = public_tokens(call.prompt.tokens);
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
