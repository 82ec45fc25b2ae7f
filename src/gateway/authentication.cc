#include "gateway/authentication.h"

#include "gateway/audit_trail.h"

namespace deepmoat::gateway {

wire::OrRefusal<> not_sealed(const Services& services) {
  if (services.custody != nullptr) {
    if (const auto served = services.custody->watch.may_serve(); !served) {
      return std::unexpected(wire::to_refusal(served.error()));
    }
  }
  return {};
}

wire::OrRefusal<> may_prove(const ReceivedCall& call, const Services& services) {
  if (const std::uint32_t wait_s = services.failures.retry_after_s(call.address, call.received_ns);
      wait_s > 0) {
    return std::unexpected(
        wire::Refusal{.status = 429,
                      .type = "rate_limit_error",
                      .code = "too_many_failed_authentications",
                      .message = "Too many failed authentications from this address.",
                      .retry_after_s = wait_s});
  }
  return not_sealed(services);
}

wire::Refusal unauthenticated(const identity::AuthFailure& failure) {
  return {.status = 401,
          .type = "authentication_error",
          .code = std::string(identity::failure_code(failure.kind)),
          .message = std::string(identity::failure_message(failure.kind)),
          .audit_reason = failure.kind == identity::AuthFailureKind::elsewhere
                              ? std::string("address_not_allowed")
                              : std::string()};
}

wire::Refusal count_failure(const identity::AuthFailure& failure, const ReceivedCall& call,
                            const Services& services, AuditTrail& trail) {
  services.failures.record_failure(call.address, call.received_ns);
  trail.record.key_id = failure.key_id.value();
  trail.record.operator_id = failure.client_id.value();
  trail.record.tenant = failure.tenant.value();
  return unauthenticated(failure);
}

}  // namespace deepmoat::gateway
