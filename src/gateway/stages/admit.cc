// Has the key room for this call, and can its body be understood?
#include <fmt/format.h>

#include "gateway/audit_trail.h"
#include "gateway/call.h"
#include "gateway/rate_limit_headers.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

namespace {

wire::Refusal over_quota(const quota::QuotaRefusal& refusal) {
  std::string message;
  switch (refusal.kind) {
    case quota::QuotaRefusalKind::requests_per_minute:
      message = fmt::format("This key may send {} requests a minute.", refusal.limit);
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
          .headers = rate_limit_headers(refusal.limit, refusal.remaining, refusal.retry_after_s)};
}

wire::OrRefusal<wire::InferenceCall> read_body(const ReceivedCall& call,
                                               wire::RequestReader& reader) {
  if (call.route->handler == Handler::chat_completions) {
    return reader.chat_completion(call.body);
  }
  if (call.route->handler == Handler::completions) {
    return reader.completion(call.body);
  }
  return reader.predict(call.body);
}

}  // namespace

Headers rate_limit_headers(std::uint32_t limit, std::uint32_t remaining, std::uint32_t reset_s) {
  if (limit == 0) {
    return {};
  }
  return {{"x-ratelimit-limit-requests", std::to_string(limit)},
          {"x-ratelimit-remaining-requests", std::to_string(remaining)},
          {"x-ratelimit-reset-requests", std::to_string(reset_s) + "s"}};
}

wire::OrRefusal<AdmittedCall> admit(AuthenticatedCall call, const Services& services,
                                    wire::RequestReader& reader, AuditTrail& trail) {
  auto reservation = services.ledger.reserve(call.principal.key_id, call.principal.tenant,
                                             services.clock.mono_ns());
  if (!reservation) {
    return std::unexpected(over_quota(reservation.error()));
  }
  TRY(wire::InferenceCall inference, read_body(call.received, reader));
  if (inference.model.value().empty() && services.models.fallback() != nullptr) {
    inference.model = services.models.fallback()->name;
  }
  // Prefixes are shared within a tenant, never across tenants (docs: serving, side channels).
  inference.infer.set_tenant_salt(call.principal.tenant.value());
  trail.record.resource = inference.model.value();
  trail.record.input_fingerprint = trail.fingerprint(call.received.body);
  call.received.body = {};
  return AdmittedCall(std::move(call), std::move(inference), *std::move(reservation));
}

}  // namespace deepmoat::gateway
