#include "gateway/successor.h"

#include <functional>
#include <string>
#include <utility>

#include "gateway/admin.h"
#include "gateway/audit_trail.h"
#include "gateway/authentication.h"
#include "gateway/blocking.h"
#include "gateway/leak_admin.h"
#include "gateway/pipeline.h"
#include "gateway/rotate_key.h"
#include "gateway/second_factor_admin.h"
#include "wire/request_reader.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

bool by_code(const ReceivedCall& call) {
  return call.route->handler == Handler::fetch_successor_by_code;
}

// The key that is presented, good or withdrawn, as long as it is one of ours.
wire::OrRefusal<identity::Actor> prove_old_key(const ReceivedCall& call, const Services& services,
                                               AuditTrail& trail) {
  using identity::AuthFailureKind;
  CHECK_OK(may_prove(call, services));
  if (call.presented_key.empty()) {
    return std::unexpected(unauthenticated({.kind = AuthFailureKind::missing}));
  }
  identity::Actor actor{
      .authentication = by_code(call) ? "one_time_password" : "client_certificate",
      .ip_address = call.address,
      .request_id = call.request_id.value(),
      .on_record = call.on_record};
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
  if (!identity::has_ended(failure.kind)) {
    return std::unexpected(count_failure(failure, call, services, trail));
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
              "certificate that was issued for it (deepmoat client-certificate issue), or POST a "
              "one-time password of its second factor."};
}

// What takes the waiting key out, on the database's thread; the intent and the result of that are
// the service's.
using Fetch = std::move_only_function<wire::OrRefusal<identity::FetchedKey>()>;

wire::OrRefusal<Fetch> with_certificate(const ReceivedCall& call, const Services& services,
                                        const identity::Actor& actor) {
  if (!call.certified || services.leak_desk == nullptr) {
    return std::unexpected(no_certificate());
  }
  return [&successors = services.leak_desk->successors, actor,
          certified = *call.certified]() -> wire::OrRefusal<identity::FetchedKey> {
    auto fetched = successors.fetch(actor, KeyId(actor.key_id), certified);
    if (!fetched) {
      return std::unexpected(wire::to_refusal(fetched.error()));
    }
    return *std::move(fetched);
  };
}

wire::OrRefusal<Fetch> with_code(const ReceivedCall& call, const Services& services,
                                 const identity::Actor& actor) {
  wire::RequestReader reader;
  TRY(std::string code, reader.one_time_password(call.body));
  if (services.leak_desk == nullptr || services.second_factors == nullptr) {
    return std::unexpected(
        wire::to_refusal({Code::unavailable, "this server keeps no keys for their owners"}));
  }
  return [&services, actor, code = std::move(code), address = call.address,
          received_ns = call.received_ns]() -> wire::OrRefusal<identity::FetchedKey> {
    const identity::FactorOwner owner{.tenant = actor.tenant.value(),
                                      .client_id = actor.operator_id};
    auto fetched = services.leak_desk->successors.fetch(actor, KeyId(actor.key_id), owner, code);
    if (fetched) {
      return *std::move(fetched);
    }
    if (fetched.error().code == Code::permission_denied) {
      services.failures.record_failure(address, received_ns);  // whoever guesses is slowed down
    }
    return std::unexpected(code_refusal(services, fetched.error(), owner));
  };
}

}  // namespace

bool is_successor(Handler handler) {
  return handler == Handler::fetch_successor || handler == Handler::fetch_successor_by_code;
}

asio::awaitable<void> answer_successor(ReceivedCall call, Responder& responder,
                                       Services& services) {
  AuditTrail trail(services, services.metrics, call);
  call.on_record = std::make_shared<std::atomic<std::uint64_t>>(0);
  const auto actor = prove_old_key(call, services, trail);
  if (!actor) {
    co_await refuse(actor.error(), call.route->errors, responder, trail);
    co_return;
  }
  trail.record.key_id = actor->key_id;
  trail.record.operator_id = actor->operator_id;
  trail.record.tenant = actor->tenant.value();
  auto fetch =
      by_code(call) ? with_code(call, services, *actor) : with_certificate(call, services, *actor);
  if (!fetch) {
    co_await refuse(std::move(fetch).error(), call.route->errors, responder, trail);
    co_return;
  }
  using Fetched = wire::OrRefusal<identity::FetchedKey>;
  Fetch work = *std::move(fetch);
  const Fetched fetched = co_await run_blocking<Fetched>(services.blocking, std::move(work));
  Response response;
  if (fetched) {
    response.body = fetched_json(*fetched, actor->key_id).dump();
  } else {
    response = to_response(fetched.error());
  }
  trail.count(response.status, response.error_code);
  responder.add_headers(record_header(*call.on_record));
  co_await responder.send(std::move(response));
}

Json fetched_json(const identity::FetchedKey& fetched, const std::string& old_key_id) {
  return {
      {"id", fetched.key_id.value()}, {"key", fetched.shown.reveal()}, {"replaces", old_key_id}};
}

Json certificate_json(const identity::CertificateInfo& info) {
  return {{"fingerprint", info.row.fingerprint},
          {"client_id", info.row.client_id},
          {"tenant", info.row.tenant},
          {"state", identity::state_name(info.state)},
          {"created_by", info.row.created_by},
          {"created_at", info.row.created_ms / 1000},
          {"expires_at", info.row.ends_ms / 1000}};
}

Json issued_json(const identity::IssuedCertificate& issued) {
  Json json = certificate_json(issued.info);
  json["certificate"] = issued.certificate.certificate;
  json["private_key"] = issued.certificate.private_key.reveal();
  return json;
}

}  // namespace deepmoat::gateway
