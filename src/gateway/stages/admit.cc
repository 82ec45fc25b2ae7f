// Has the key room for this call, and can its body be understood?
#include <fmt/format.h>

#include "gateway/audit_trail.h"
#include "gateway/call.h"
#include "gateway/kept_content.h"
#include "gateway/rate_limit_headers.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

namespace {

wire::Refusal over_quota(const quota::QuotaRefusal& refusal) {
  std::string message;
  quota::Allowance requests;
  quota::Allowance tokens;
  const quota::Allowance full{
      .limit = refusal.limit, .remaining = refusal.remaining, .reset_s = refusal.retry_after_s};
  switch (refusal.kind) {
    case quota::QuotaRefusalKind::requests_per_minute:
      message = fmt::format("This key may send {} requests a minute.", refusal.limit);
      requests = full;
      break;
    case quota::QuotaRefusalKind::tokens_per_minute:
      message = fmt::format("This key may use {} tokens a minute.", refusal.limit);
      tokens = full;
      break;
    case quota::QuotaRefusalKind::calls_of_key:
      message = fmt::format("This key may run {} calls at once.", refusal.limit);
      break;
    case quota::QuotaRefusalKind::calls_total:
      message = fmt::format("The server runs {} calls at once, and all are taken.", refusal.limit);
      break;
  }
  return {.status = 429,
          .type = "rate_limit_error",
          .code = std::string(quota::refusal_code(refusal.kind)),
          .message = std::move(message),
          .retry_after_s = std::max(refusal.retry_after_s, 1U),
          .headers = rate_limit_headers(requests, tokens)};
}

wire::OrRefusal<wire::InferenceCall> read_body(const ReceivedCall& call,
                                               wire::RequestReader& reader) {
  switch (call.route->handler) {
    case Handler::chat_completions:
      return reader.chat_completion(call.body);
    case Handler::completions:
      return reader.completion(call.body);
    case Handler::embeddings:
      return reader.embeddings(call.body);
    case Handler::rerank:
      return reader.rerank(call.body);
    case Handler::responses:
      return reader.response(call.body);
    case Handler::messages:
      return reader.message(call.body);
    case Handler::count_tokens:
      return reader.token_count(call.body);
    default:
      return reader.predict(call.body);
  }
}

// Log probabilities tell more about a model than its answers do: enough of them copy its last
// layer (Carlini et al., "Stealing Part of a Production Language Model", 2024).
wire::OrRefusal<> check_logprobs(const wire::InferRequest& infer,
                                 const identity::Principal& principal) {
  constexpr identity::Permission kNeeded = identity::Permission::see_logprobs;
  if (!infer.logprobs() || principal.may(kNeeded)) {
    return {};
  }
  return std::unexpected(
      wire::Refusal{.status = 403,
                    .type = "permission_error",
                    .code = "permission_denied",
                    .message = "Log probabilities: " + identity::denial_of(principal, kNeeded),
                    .param = "logprobs"});
}

quota::Limits limits_of(const identity::KeyLimits& key) {
  return {.requests_per_minute = static_cast<std::uint32_t>(key.requests_per_minute),
          .tokens_per_minute = static_cast<std::uint32_t>(key.tokens_per_minute),
          .calls_of_key_max = static_cast<std::uint32_t>(key.concurrent_calls)};
}

// The first model, in the order of the configuration, that the key may use.
ModelName default_model(const identity::KeyRules& rules, const Services& services) {
  for (const auto& model : services.models.all()) {
    if (rules.may_use_model(model->name.value())) {
      return model->name;
    }
  }
  return {};
}

// Whose call it is, and how far it goes before others.
void set_tenant(wire::InferRequest& infer, const TenantId& tenant, const Config& config) {
  // Prefixes are shared within a tenant, never across tenants (docs: serving, side channels).
  infer.set_tenant_salt(tenant.value());
  infer.set_tenant(tenant.value());
  const TenantConfig settings = config.tenant(tenant.value());
  infer.set_weight(static_cast<float>(settings.weight));
  // A caller may stand back behind his tenant's class, never go before it.
  infer.set_priority(std::max(infer.priority(), static_cast<std::uint32_t>(settings.priority)));
  const std::int64_t wait_s =
      settings.wait_s_max > 0 ? settings.wait_s_max : config.limits.wait_s_max;
  infer.set_wait_ms_max(static_cast<std::uint32_t>(wait_s * 1000));
  infer.set_tenant_queue_max(static_cast<std::uint32_t>(settings.queue_max));
}

}  // namespace

Headers rate_limit_headers(const quota::Allowance& requests, const quota::Allowance& tokens) {
  Headers headers;
  const auto add = [&](const quota::Allowance& of, const char* limit, const char* remaining,
                       const char* reset) {
    if (of.limit != 0) {
      headers.emplace_back(limit, std::to_string(of.limit));
      headers.emplace_back(remaining, std::to_string(of.remaining));
      headers.emplace_back(reset, std::to_string(of.reset_s) + "s");
    }
  };
  add(requests, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
      "x-ratelimit-reset-requests");
  add(tokens, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
      "x-ratelimit-reset-tokens");
  return headers;
}

wire::OrRefusal<AdmittedCall> admit(AuthenticatedCall call, const Services& services,
                                    wire::RequestReader& reader, AuditTrail& trail) {
  const identity::KeyRules& rules = *call.principal.rules;
  auto reservation = services.ledger.reserve(call.principal.account(), call.principal.tenant,
                                             services.clock.mono_ns(), limits_of(rules.limits));
  if (!reservation) {
    return std::unexpected(over_quota(reservation.error()));
  }
  TRY(wire::InferenceCall inference, read_body(call.received, reader));
  if (inference.model.value().empty()) {
    inference.model = default_model(rules, services);
  }
  CHECK_OK(check_logprobs(inference.infer, call.principal));
  set_tenant(inference.infer, call.principal.tenant, *services.config.get());
  trail.record.resource = inference.model.value();
  trail.record.input_fingerprint = trail.fingerprint(call.received.body);
  if (!may_keep_content(services)) {
    call.received.body = {};
  }
  return AdmittedCall(std::move(call), std::move(inference), *std::move(reservation));
}

}  // namespace deepmoat::gateway
