#include "wire/refusal.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace deepmoat::wire {

Refusal invalid(std::string param, std::string message, std::string code) {
  return {.status = 400,
          .type = "invalid_request_error",
          .code = std::move(code),
          .message = std::move(message),
          .param = std::move(param)};
}

Refusal to_refusal(const Error& error) {
  const auto refuse = [&](int status, const char* type, const char* code) {
    return Refusal{.status = status, .type = type, .code = code, .message = error.message};
  };
  switch (error.code) {
    case Code::invalid_argument:
      return refuse(400, "invalid_request_error", "invalid_value");
    case Code::not_found:
      return refuse(404, "invalid_request_error", "not_found");
    case Code::already_exists:
      return refuse(409, "invalid_request_error", "already_exists");
    case Code::unauthenticated:
      return refuse(401, "authentication_error", "invalid_api_key");
    case Code::permission_denied:
      return refuse(403, "permission_error", "permission_denied");
    case Code::resource_exhausted: {
      Refusal refusal = refuse(429, "rate_limit_error", "rate_limit_exceeded");
      refusal.retry_after_s = 1;
      return refusal;
    }
    case Code::unavailable: {
      Refusal refusal = refuse(503, "service_unavailable_error", "unavailable");
      refusal.retry_after_s = 1;
      return refusal;
    }
    case Code::audit_unavailable:
      return {.status = 503,
              .type = "service_unavailable_error",
              .code = "audit_unavailable",
              .message = "The audit log cannot be written, and nothing is answered without it.",
              .retry_after_s = 30};  // the log itself has said why, once
    case Code::custody_unavailable: {
      Refusal refusal = refuse(503, "service_unavailable_error", "custody_unavailable");
      refusal.retry_after_s = 10;  // the canary looks again
      return refusal;
    }
    case Code::cancelled:
      return refuse(499, "server_error", "cancelled");
    case Code::timeout:
      return refuse(504, "server_error", "timeout");
    case Code::corrupt:
    case Code::io:
    case Code::internal:
      break;
  }
  return {
      .message =
          "The server failed to handle the request. Its log has the reason under this request id.",
      .fault = std::string(code_name(error.code)) + ": " + error.message};
}

Refusal to_field_refusal(const Error& error) {
  Refusal refusal = to_refusal(error);
  const std::size_t colon = refusal.message.find(": ");
  const std::string field = refusal.message.substr(0, colon);
  const bool is_name = std::ranges::all_of(field, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  });
  if (colon != std::string::npos && is_name && refusal.status < 500) {
    refusal.param = field;
  }
  return refusal;
}

namespace {

// By status, as the Anthropic API has it.
std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

nlohmann::ordered_json anthropic_error(const Refusal& refusal, std::string_view request_id) {
  nlohmann::ordered_json body;
  body["type"] = "error";
  body["error"]["type"] = anthropic_type(refusal.status);
  body["error"]["message"] = refusal.message;
  body["request_id"] = request_id;
  return body;
}

nlohmann::ordered_json openai_error(const Refusal& refusal) {
  nlohmann::ordered_json error;
  error["message"] = refusal.message;
  error["type"] = refusal.type;
  error["param"] = refusal.param.empty() ? nlohmann::ordered_json(nullptr)
                                         : nlohmann::ordered_json(refusal.param);
  error["code"] = refusal.code;
  return {{"error", error}};
}

}  // namespace

std::string error_body(const Refusal& refusal, ErrorShape shape, std::string_view request_id) {
  const nlohmann::ordered_json body =
      shape == ErrorShape::anthropic ? anthropic_error(refusal, request_id) : openai_error(refusal);
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace deepmoat::wire
