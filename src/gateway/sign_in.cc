#include "gateway/sign_in.h"

#include <memory>
#include <span>
#include <utility>

#include "gateway/approval_admin.h"
#include "gateway/audit_trail.h"
#include "gateway/authentication.h"
#include "gateway/blocking.h"
#include "gateway/people_admin.h"
#include "gateway/pipeline.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;
using identity::OpenedSession;
using identity::PasswordProof;
using identity::SignIn;
using identity::SignInAttempt;

constexpr int kWaitingMax = 16;  // hashes take 0.2 s each, one after the other

identity::SessionPlace place_of(const ReceivedCall& call) {
  return {.address = call.address,
          .fingerprint = call.certified ? call.certified->fingerprint : std::string()};
}

wire::Refusal sign_in_refusal(const Error& error) {
  wire::Refusal refusal = wire::to_field_refusal(error);
  switch (error.code) {
    case Code::unauthenticated:
      refusal.code = "sign_in_refused";
      break;
    case Code::permission_denied:
      refusal.code = "password_change_required";
      break;
    case Code::not_found:
      refusal.status = 403;
      refusal.type = "permission_error";
      refusal.code = "second_factor_missing";
      break;
    default:
      break;
  }
  return refusal;
}

wire::OrRefusal<OpenedSession> or_refusal(Result<OpenedSession> opened) {
  if (!opened) {
    return std::unexpected(sign_in_refusal(opened.error()));
  }
  return *std::move(opened);
}

wire::Refusal busy() {
  return {.status = 503,
          .type = "service_unavailable_error",
          .code = "sign_in_busy",
          .message = "Too many people sign in at this moment; try again.",
          .retry_after_s = 2};
}

// Without a password: a certificate has come, and only the name is of use.
wire::OrRefusal<SignInAttempt> read_attempt(ReceivedCall& call, const Services& services) {
  CHECK_OK(may_prove(call, services));
  if (services.people_desk == nullptr) {
    return std::unexpected(wire::to_refusal({Code::unavailable, "nobody signs in to this server"}));
  }
  wire::RequestReader reader;
  auto request = reader.sign_in(call.body);
  wipe(std::as_writable_bytes(std::span(call.body)));
  if (!request) {
    return std::unexpected(request.error());
  }
  SignInAttempt attempt{
      .who = {.tenant = std::move(request->tenant), .name = std::move(request->name)},
      .password = std::move(request->password),
      .one_time_password = std::move(request->one_time_password),
      .new_password = std::move(request->new_password),
      .address = call.address,
      .request_id = call.request_id.value(),
      .on_record = std::make_shared<std::atomic<std::uint64_t>>(0)};
  if (const auto formed = identity::check_form(attempt, call.certified.has_value()); !formed) {
    return std::unexpected(wire::to_field_refusal(formed.error()));
  }
  return attempt;
}

using Attempt = std::shared_ptr<const SignInAttempt>;

// The three steps on their threads.
asio::awaitable<wire::OrRefusal<OpenedSession>> by_password(Attempt attempt, Services& services) {
  const WaitingPlace waiting(services.sign_ins_waiting, kWaitingMax);
  if (!waiting.taken()) {
    co_return std::unexpected(busy());
  }
  SignIn& sign_in = services.people_desk->sign_in;
  std::move_only_function<Result<std::string>()> begin = [=, &sign_in] {
    return sign_in.begin(*attempt);
  };
  Result<std::string> hash =
      co_await run_blocking<Result<std::string>>(services.blocking, std::move(begin));
  if (!hash) {
    co_return std::unexpected(sign_in_refusal(hash.error()));
  }
  std::move_only_function<Result<PasswordProof>()> prove = [=, &sign_in, held = *hash] {
    return sign_in.prove(*attempt, held);
  };
  const Result<PasswordProof> proof =
      co_await run_blocking<Result<PasswordProof>>(*services.sign_ins, std::move(prove));
  if (!proof) {
    co_return std::unexpected(sign_in_refusal(proof.error()));
  }
  std::move_only_function<Result<OpenedSession>()> finish = [=, &sign_in, found = *proof] {
    return sign_in.finish(*attempt, found);
  };
  Result<OpenedSession> opened =
      co_await run_blocking<Result<OpenedSession>>(services.blocking, std::move(finish));
  co_return or_refusal(std::move(opened));
}

// Whoever may be the second person proves himself by two things where there have to be two: an
// administrator can have a certificate of anybody issued, and would be the second one himself.
asio::awaitable<wire::OrRefusal<OpenedSession>> by_certificate(Attempt attempt,
                                                               identity::CertifiedClient certified,
                                                               Services& services) {
  SignIn& sign_in = services.people_desk->sign_in;
  const bool two_persons = services.config.get()->approval.two_persons;
  std::move_only_function<Result<OpenedSession>()> work =
      [&sign_in, attempt, certified = std::move(certified), two_persons] {
        return sign_in.with_certificate(*attempt, certified, [two_persons](identity::Role role) {
          return !two_persons || !made_by_two(role);
        });
      };
  Result<OpenedSession> opened =
      co_await run_blocking<Result<OpenedSession>>(services.blocking, std::move(work));
  co_return or_refusal(std::move(opened));
}

wire::Refusal no_session() {
  return {
      .status = 404,
      .type = "invalid_request_error",
      .code = "no_session",
      .message = "This call came with a key, not with a session: there is none to show or end."};
}

}  // namespace

asio::awaitable<void> answer_sign_in(ReceivedCall call, Responder& responder, Services& services) {
  AuditTrail trail(services, services.metrics, call);
  trail.lane = audit::Lane::administration;  // to free space, one has to get in
  auto read = read_attempt(call, services);
  if (!read) {
    co_await refuse(std::move(read).error(), call.route->errors, responder, trail);
    co_return;
  }
  const auto attempt = std::make_shared<const SignInAttempt>(*std::move(read));
  wire::OrRefusal<OpenedSession> opened = std::unexpected(busy());
  if (attempt->password.empty()) {
    opened = co_await by_certificate(attempt, *call.certified, services);
  } else {
    opened = co_await by_password(attempt, services);
  }
  if (!opened) {
    if (opened.error().status == 401) {
      services.failures.record_failure(call.address, call.received_ns);
    }
    if (*attempt->on_record == 0) {  // it came to nothing before there was anything to record
      co_await refuse(std::move(opened).error(), call.route->errors, responder, trail);
      co_return;
    }
  }
  Response response;
  if (opened) {
    Json body = session_json(opened->info);
    body["token"] = opened->token.reveal();
    response.body = body.dump();
    responder.add_headers(record_header(*attempt->on_record));
  } else {
    response = to_response(opened.error());
  }
  trail.count(response.status, response.error_code);
  co_await responder.send(std::move(response));
}

std::optional<identity::Principal> principal_of_session(const ReceivedCall& call,
                                                        const Services& services) {
  if (services.people_desk == nullptr) {
    return std::nullopt;
  }
  const UnixMillis now_ms = services.authenticator.latest_ms(services.clock.unix_ms());
  return services.people_desk->sessions.find(call.presented_key, place_of(call), now_ms);
}

Response show_session(const Services& services, const identity::Principal& principal) {
  const UnixMillis now_ms = services.authenticator.latest_ms(services.clock.unix_ms());
  const auto session = services.people_desk == nullptr
                           ? std::nullopt
                           : services.people_desk->sessions.show(principal.key_id, now_ms);
  if (!session) {
    return to_response(no_session());
  }
  Json body = session_json(*session);
  body["permissions"] = Json::array();
  for (const identity::Permission permission : identity::kPermissions) {
    if (principal.may(permission)) {
      body["permissions"].push_back(identity::permission_name(permission));
    }
  }
  return {.body = body.dump()};
}

Response end_session(const Services& services, const identity::Actor& actor,
                     const identity::Principal& principal) {
  if (!identity::is_session(principal.key_id) || services.people_desk == nullptr) {
    return to_response(no_session());
  }
  const auto ended = services.people_desk->sign_in.sign_out(actor, principal.key_id);
  return ended ? Response{.body = Json{{"id", principal.key_id.value()}, {"state", "ended"}}.dump()}
               : to_response(wire::to_refusal(ended.error()));
}

bool still_admitted(const identity::Principal& principal, const Services& services) {
  const UnixMillis now_ms = services.clock.unix_ms();
  if (!identity::is_session(principal.key_id)) {
    return services.authenticator.still_valid(principal.key_id, now_ms);
  }
  return services.people_desk != nullptr &&
         services.people_desk->sessions.still_open(principal.key_id,
                                                   services.authenticator.latest_ms(now_ms));
}

}  // namespace deepmoat::gateway
