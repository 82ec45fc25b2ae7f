#include "gateway/successor.h"

#include "gateway/admin.h"
#include "gateway/audit_trail.h"
#include "gateway/blocking.h"
#include "gateway/leak_admin.h"
#include "gateway/pipeline.h"
#include "gateway/rotate_key.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

wire::Refusal unauthenticated(identity::AuthFailureKind kind) {
  return {.status = 401,
          .type = "authentication_error",
          .code = std::string(identity::failure_code(kind)),
          .message = std::string(identity::failure_message(kind))};
}

// The key that is presented, good or withdrawn, as long as it is one of ours.
wire::OrRefusal<identity::Actor> prove_old_key(const ReceivedCall& call, const Services& services) {
  using identity::AuthFailureKind;
  if (const std::uint32_t wait_s = services.failures.retry_after_s(call.address, call.received_ns);
      wait_s > 0) {
    return std::unexpected(
        wire::Refusal{.status = 429,
                      .type = "rate_limit_error",
                      .code = "too_many_failed_authentications",
                      .message = "Too many failed authentications from this address.",
                      .retry_after_s = wait_s});
  }
  if (services.custody != nullptr) {
    if (const auto served = services.custody->watch.may_serve(); !served) {
      return std::unexpected(wire::to_refusal(served.error()));
    }
  }
  if (call.presented_key.empty()) {
    return std::unexpected(unauthenticated(AuthFailureKind::missing));
  }
  identity::Actor actor{.authentication = "client_certificate",
                        .ip_address = call.address,
                        .request_id = call.request_id.value()};
  const auto principal = services.authenticator.authenticate(
      call.presented_key, services.clock.unix_ms(), call.address);
  if (principal) {
    actor.key_id = principal->key_id.value();
    actor.operator_id = principal->client_id.value();
    actor.tenant = principal->tenant;
    if (!principal->replaced.value().empty()) {
      write_down_first_use(services, actor_of(call, *principal), principal->key_id);
    }
    return actor;
  }
  const identity::AuthFailure& failure = principal.error();
  if (failure.kind != AuthFailureKind::revoked && failure.kind != AuthFailureKind::replaced &&
      failure.kind != AuthFailureKind::expired) {
    services.failures.record_failure(call.address, call.received_ns);
    return std::unexpected(unauthenticated(failure.kind));
  }
  actor.key_id = failure.key_id.value();
  actor.operator_id = failure.client_id.value();
  actor.tenant = failure.tenant;
  return actor;
}

wire::Refusal no_certificate() {
  return {.status = 403,
          .type = "permission_error",
          .code = "client_certificate_required",
          .message =
              "The next key is given to its client alone: connect with the TLS client "
              "certificate that was issued for it (deepmoat client-certificate issue)."};
}

}  // namespace

asio::awaitable<void> answer_successor(ReceivedCall call, Responder& responder,
                                       Services& services) {
  AuditTrail trail(services, services.metrics, call);
  const auto actor = prove_old_key(call, services);
  if (!actor) {
    co_await refuse(actor.error(), call.route->errors, responder, trail);
    co_return;
  }
  trail.record.key_id = actor->key_id;
  trail.record.operator_id = actor->operator_id;
  trail.record.tenant = actor->tenant.value();
  if (!call.certified || services.leak_desk == nullptr) {
    co_await refuse(no_certificate(), call.route->errors, responder, trail);
    co_return;
  }
  identity::Successors& successors = services.leak_desk->successors;
  // From here on the intent and the result are the service's.
  std::move_only_function<Result<identity::FetchedKey>()> fetch = [&successors, actor = *actor,
                                                                   certified = *call.certified] {
    return successors.fetch(actor, KeyId(actor.key_id), certified);
  };
  const Result<identity::FetchedKey> fetched =
      co_await run_blocking<Result<identity::FetchedKey>>(services.blocking, std::move(fetch));
  Response response;
  if (fetched) {
    const Json body = {{"id", fetched->key_id.value()},
                       {"key", fetched->shown.reveal()},
                       {"replaces", actor->key_id}};
    response.body = body.dump();
  } else {
    response = to_response(wire::to_refusal(fetched.error()));
  }
  trail.count(response.status, "");
  co_await responder.send(std::move(response));
}

Json certificate_json(const store::ClientCertificateRow& row, UnixMillis now_ms) {
  Json json = {{"fingerprint", row.fingerprint},
               {"client_id", row.client_id},
               {"tenant", row.tenant},
               {"state", row.revoked_ms != 0     ? "revoked"
                         : now_ms >= row.ends_ms ? "expired"
                                                 : "active"},
               {"created_by", row.created_by},
               {"created_at", row.created_ms / 1000},
               {"expires_at", row.ends_ms / 1000}};
  return json;
}

Json issued_json(const identity::IssuedCertificate& issued, UnixMillis now_ms) {
  Json json = certificate_json(issued.row, now_ms);
  json["certificate"] = issued.certificate.certificate;
  json["private_key"] = issued.certificate.private_key.reveal();
  return json;
}

}  // namespace deepmoat::gateway
