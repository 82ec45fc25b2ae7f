// Request bodies of the public interfaces to types. Unknown fields are ignored, as clients send
// new ones; a field that would change the answer and that we do not serve is refused by name,
// never ignored.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "wire/inference_call.h"
#include "wire/refusal.h"

namespace deepmoat::wire {

struct CreateKeyRequest;  // wire/key_request.h
struct KeyFields;
struct TenantRequest;

// POST /admin/v1/webhooks; the bounds are for webhook/ to check.
struct WebhookRequest {
  std::string url;
  std::optional<std::string> tenant;  // absent: the caller's
  std::vector<std::string> events;
};

// POST /admin/v1/client-certificates; the bounds are for identity/ to check.
struct CertificateRequest {
  std::string client_id;
  std::optional<std::string> tenant;  // absent: the caller's
  std::int64_t days = 365;
};

// POST /admin/v1/second-factors and what is below it
struct SecondFactorRequest {
  std::string client_id;
  std::string tenant;
  std::string algorithm;          // of an enrolment
  std::string one_time_password;  // of a confirmation; empty: absent
};

// POST /v1/sessions
struct SignInRequest {
  std::string name;
  std::string tenant;
  Secret password;                // empty: absent
  std::string one_time_password;  // likewise, and below
  Secret new_password;
};

// Parses JSON bodies. Holds the parser's memory, so one a thread is enough; not thread-safe.
class RequestReader {
 public:
  RequestReader();
  ~RequestReader();
  RequestReader(RequestReader&&) noexcept;
  RequestReader& operator=(RequestReader&&) noexcept;

  // OpenAI
  [[nodiscard]] OrRefusal<InferenceCall> chat_completion(std::string_view body);
  [[nodiscard]] OrRefusal<InferenceCall> completion(std::string_view body);
  [[nodiscard]] OrRefusal<InferenceCall> embeddings(std::string_view body);
  [[nodiscard]] OrRefusal<InferenceCall> response(std::string_view body);
  // Jina, vLLM
  [[nodiscard]] OrRefusal<InferenceCall> rerank(std::string_view body);
  // Anthropic
  [[nodiscard]] OrRefusal<InferenceCall> message(std::string_view body);
  [[nodiscard]] OrRefusal<InferenceCall> token_count(std::string_view body);
  // Ours
  [[nodiscard]] OrRefusal<InferenceCall> predict(std::string_view body);
  [[nodiscard]] OrRefusal<CreateKeyRequest> create_key(std::string_view body);
  [[nodiscard]] OrRefusal<KeyFields> change_key(std::string_view body);
  [[nodiscard]] OrRefusal<TenantRequest> create_tenant(std::string_view body);
  [[nodiscard]] OrRefusal<TenantRequest> change_tenant(std::string_view body);
  // Any object, as a tree; of what this lets through no part nests deeper than other bodies may.
  [[nodiscard]] OrRefusal<nlohmann::ordered_json> object(std::string_view body);
  // {"reason": "..."}; an empty body gives an empty reason.
  [[nodiscard]] OrRefusal<std::string> reason(std::string_view body);
  [[nodiscard]] OrRefusal<SecondFactorRequest> second_factor(std::string_view body);
  [[nodiscard]] OrRefusal<SignInRequest> sign_in(std::string_view body);
  // {"one_time_password": "..."}
  [[nodiscard]] OrRefusal<std::string> one_time_password(std::string_view body);
  [[nodiscard]] OrRefusal<WebhookRequest> webhook(std::string_view body);
  [[nodiscard]] OrRefusal<CertificateRequest> certificate(std::string_view body);
  // {"expires_at": unix seconds}
  [[nodiscard]] OrRefusal<std::int64_t> expires_at(std::string_view body);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace deepmoat::wire
