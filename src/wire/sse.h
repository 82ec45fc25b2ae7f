// Server-sent events (WHATWG HTML, section 9.2) as OpenAI's clients expect them.
#pragma once

#include <string>
#include <string_view>

namespace deepmoat::wire {

// "data: <json>\n\n". REQUIRES: `json` holds no line break.
[[nodiscard]] std::string sse_event(std::string_view json);

// The same with a line "event: <name>" before it, as Anthropic's API and /v1/responses have it.
[[nodiscard]] std::string sse_named_event(std::string_view name, std::string_view json);

inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";
// A comment: clients skip it, proxies see a living connection.
inline constexpr std::string_view kSseKeepAlive = ": keep-alive\n\n";

}  // namespace deepmoat::wire
