// links: deepmoat_wire deepmoat_base
// Any bytes as a body of /v1/messages or its count of tokens: nothing crashes, what is refused is
// the caller's fault and says so, and what is accepted keeps the promises that a worker relies on.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "wire/request_reader.h"

namespace {

using deepmoat::wire::ChatMessage;
using deepmoat::wire::ChatPrompt;
using deepmoat::wire::InferenceCall;
using deepmoat::wire::OrRefusal;
using deepmoat::wire::RequestReader;
using deepmoat::wire::ToolCall;
namespace limits = deepmoat::limits;

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// Each answer of a tool answers a call that was made before it.
void check_messages(const ChatPrompt& chat) {
  std::set<std::string> calls;
  must(chat.messages_size() > 0);
  for (const ChatMessage& message : chat.messages()) {
    for (const ToolCall& call : message.tool_calls()) {
      must(message.role() == "assistant" && !call.id().empty() && !call.name().empty());
      calls.insert(call.id());
    }
    must(message.role() != "tool" || calls.contains(message.tool_call_id()));
  }
  must(!chat.continue_last() || chat.messages().rbegin()->role() == "assistant");
}

void check(const OrRefusal<InferenceCall>& call) {
  if (!call) {
    must(call.error().status == 400 && call.error().type == "invalid_request_error");
    must(!call.error().code.empty() && !call.error().message.empty());
    return;
  }
  must(call->infer.n() == 1 && !call->model.value().empty());
  must(call->infer.count_only() != (call->infer.max_tokens() > 0));
  check_messages(call->infer.chat());
  must(call->infer.chat().tools_size() <= static_cast<int>(limits::kToolsMax));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static RequestReader reader;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check(reader.message(body));
  check(reader.token_count(body));
  return 0;
}
