// What a caller gets when a stage says no: HTTP status and OpenAI's error body, all four keys.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace deepmoat::wire {

// Types of OpenAI's errors: "invalid_request_error", "authentication_error", "permission_error",
// "rate_limit_error", "server_error", "service_unavailable_error".
struct Refusal {
  int status = 500;
  std::string type = "server_error";
  std::string code = "internal_error";
  std::string message;              // for a person: names the field and the fix
  std::string param;                // the field at fault; empty: null
  std::uint32_t retry_after_s = 0;  // 0: no Retry-After header
  std::vector<std::pair<std::string, std::string>> headers = {};  // further ones of the answer
  std::string audit_reason = {};  // for the audit log alone, where it may say more; empty: `code`
  std::string fault = {};         // for the server's own log alone: what the client may not know
};

template <class T = void>
using OrRefusal = std::expected<T, Refusal>;

// 400 invalid_request_error about the field `param`.
[[nodiscard]] Refusal invalid(std::string param, std::string message,
                              std::string code = "invalid_value");

// Maps an error of ours to what a client may know. Messages of internal, io and corrupt errors
// stay inside, in `fault`: they may name paths. Why the audit log takes nothing stays inside too.
[[nodiscard]] Refusal to_refusal(const Error& error);
// The same, for messages that begin with the field at fault ("ip_ranges: ..."): it is `param`.
[[nodiscard]] Refusal to_field_refusal(const Error& error);

enum class ErrorShape : std::uint8_t { openai, anthropic };

// {"error":{"message","type","param","code"}}, or Anthropic's
// {"type":"error","error":{"type","message"},"request_id"}.
[[nodiscard]] std::string error_body(const Refusal& refusal, ErrorShape shape = ErrorShape::openai,
                                     std::string_view request_id = "");

}  // namespace deepmoat::wire
