#include "gateway/pipeline.h"

#include "base/log.h"
#include "gateway/admin.h"
#include "gateway/approval_admin.h"
#include "gateway/audit_admin.h"
#include "gateway/audit_export.h"
#include "gateway/audit_trail.h"
#include "gateway/health.h"
#include "gateway/kept_content.h"
#include "gateway/metrics.h"
#include "gateway/rotate_key.h"
#include "gateway/sign_in.h"
#include "gateway/stages/infer.h"
#include "gateway/successor.h"

namespace deepmoat::gateway {

namespace {

constexpr int kUnauthorized = 401;

// For the audit log.
std::string reason_of(const wire::Refusal& refusal) {
  return refusal.audit_reason.empty() ? refusal.code : refusal.audit_reason;
}

}  // namespace

// A refusal has no effect, so it needs no intent; but it too is recorded before it is answered.
asio::awaitable<void> refuse(wire::Refusal refusal, wire::ErrorShape shape, Responder& responder,
                             AuditTrail& trail) {
  std::string reason = reason_of(refusal);
  const auto recorded =
      co_await trail.result(audit::Outcome::refused, refusal.status, std::move(reason));
  Response response =
      to_response(recorded ? refusal : audit_unavailable(), shape, trail.record.request_id);
  // Not for strangers: they have no receipt, and it would show them how busy the server is. Nor for
  // a key that is refused like an unknown one, whose owner the record knows.
  if (!trail.record.operator_id.empty() && refusal.status != kUnauthorized) {
    responder.add_headers(trail.record_header());
  }
  co_await responder.send(std::move(response));
}

namespace {

// The stages before the effect. None of them waits for anything.
wire::OrRefusal<RoutedCall> prepare(ReceivedCall received, const Services& services,
                                    wire::RequestReader& reader, AuditTrail& trail,
                                    Responder& responder) {
  TRY(AuthenticatedCall authenticated, authenticate(std::move(received), services, trail));
  responder.add_headers(key_end_headers(authenticated.principal, services.clock.unix_ms()));
  TRY(AdmittedCall admitted, admit(std::move(authenticated), services, reader, trail));
  TRY(ClassifiedCall classified, classify(std::move(admitted), trail));
  return route(std::move(classified), services, trail);
}

// Tokens and a place in the key's quota: settled whatever the outcome was.
void account(FinishedCall& call, const Services& services) {
  services.ledger.settle(std::move(call.routed.classified.admitted.reservation),
                         call.answer.usage.prompt_tokens(), call.answer.usage.completion_tokens());
}

audit::Outcome outcome_of(const FinishedCall& call) {
  if (call.cancelled) {
    return audit::Outcome::cancelled;
  }
  if (!call.failure) {
    return audit::Outcome::success;
  }
  // A refusal of the backend came before anything was computed.
  return call.failure->status < 500 ? audit::Outcome::refused : audit::Outcome::failed;
}

int status_of(const FinishedCall& call) {
  if (call.cancelled && !call.failure) {
    return 499;  // nginx's "client closed request": logs only, nobody receives it
  }
  return call.failure && !call.streaming ? call.failure->status : 200;
}

const ReceivedCall& received(const FinishedCall& call) {
  return call.routed.classified.admitted.authenticated.received;
}

// Nothing of it has gone out, and all of it goes at once.
bool is_whole(const FinishedCall& call) {
  const bool wants_stream = call.routed.classified.admitted.inference.stream;
  return !call.streaming && (call.failure || !wants_stream);
}

Response whole_answer(const FinishedCall& call) {
  if (call.failure) {
    return to_response(*call.failure, received(call).route->errors,
                       received(call).request_id.value());
  }
  return Response{.body = call.writer->body(call.answer), .headers = call.headers};
}

// The last bytes of a stream.
asio::awaitable<void> end_stream(const FinishedCall& call, Responder& responder) {
  std::string bytes;
  if (!call.streaming) {
    // A stream in which no text came.
    Headers headers = stream_headers(call);
    co_await responder.begin_stream(std::move(headers));
    bytes = call.opening;
  }
  if (call.failure && !call.failure->fault.empty()) {
    log::error("a request failed",
               {{"request_id", received(call).request_id.value()}, {"error", call.failure->fault}});
  }
  bytes += call.failure ? call.writer->failed(*call.failure, call.answer)
                        : call.writer->end(call.answer);
  co_await responder.stream(std::move(bytes));
  co_await responder.end_stream(!call.failure);
}

// The digest of what is kept stands in the record. What cannot be kept fails the call.
asio::awaitable<void> keep_wanted(std::optional<WantedContent> wanted, FinishedCall& call,
                                  const Services& services, AuditTrail& trail) {
  if (!wanted) {
    co_return;
  }
  Result<std::string> digest =
      co_await keep_content(*std::move(wanted), call, trail.record, services);
  if (!digest) {
    call.failure = content_unavailable(digest.error());
    co_return;
  }
  trail.record.content = *std::move(digest);
}

asio::awaitable<void> run_inference(ReceivedCall received, Responder& responder, Services& services,
                                    wire::RequestReader& reader) {
  AuditTrail trail(services, services.metrics, received);
  const wire::ErrorShape errors = received.route->errors;
  auto routed = prepare(std::move(received), services, reader, trail, responder);
  if (!routed) {
    co_await refuse(std::move(routed).error(), errors, responder, trail);
    co_return;
  }
  const auto intent = co_await trail.intent();
  if (!intent) {
    Response response = to_response(audit_unavailable(), errors, trail.record.request_id);
    co_await responder.send(std::move(response));
    co_return;
  }
  responder.add_headers(trail.record_header());
  auto wanted = wanted_content(*routed, services, trail.record);
  if (!wanted) {
    wire::Refusal refusal = content_unavailable(wanted.error());
    std::string reason = reason_of(refusal);
    co_await trail.result(audit::Outcome::failed, refusal.status, std::move(reason));
    Response response = to_response(refusal, errors, trail.record.request_id);
    co_await responder.send(std::move(response));
    co_return;
  }
  FinishedCall finished = co_await infer(*std::move(routed), responder, services, trail);
  account(finished, services);
  co_await keep_wanted(*std::move(wanted), finished, services, trail);
  Response whole = is_whole(finished) ? whole_answer(finished) : Response();
  const bool says_something = is_whole(finished) && !finished.failure && !finished.cancelled;
  trail.record.bytes_out = says_something ? whole.body.size() : responder.bytes_sent();
  std::string reason = finished.failure ? reason_of(*finished.failure) : std::string();
  const auto recorded =
      co_await trail.result(outcome_of(finished), status_of(finished), std::move(reason));
  if (!recorded) {
    finished.failure = audit_unavailable();
    whole = is_whole(finished) ? whole_answer(finished) : Response();
  }
  if (finished.cancelled && !finished.failure) {
    co_await responder.end_stream(false);  // nobody is there to read more
    co_return;
  }
  if (is_whole(finished)) {
    co_await responder.send(std::move(whole));
  } else {
    co_await end_stream(finished, responder);
  }
}

audit::Outcome outcome_of(const Response& response) {
  if (response.status < 400) {
    return audit::Outcome::success;
  }
  return response.status < 500 ? audit::Outcome::refused : audit::Outcome::failed;
}

// The answer of an action, once its result is on record.
asio::awaitable<Response> recorded(Response response, AuditTrail& trail) {
  trail.record.bytes_out = response.status < 400 ? response.body.size() : 0;
  const auto written =
      co_await trail.result(outcome_of(response), response.status, response.error_code);
  if (!written) {
    response = to_response(audit_unavailable());
  }
  co_return response;
}

// Routes that read or change the server itself.
asio::awaitable<void> run_action(ReceivedCall received, Responder& responder, Services& services) {
  AuditTrail trail(services, services.metrics, received);
  const Route& route_taken = *received.route;
  auto authenticated = authenticate(std::move(received), services, trail);
  if (!authenticated) {
    co_await refuse(std::move(authenticated).error(), route_taken.errors, responder, trail);
    co_return;
  }
  responder.add_headers(key_end_headers(authenticated->principal, services.clock.unix_ms()));
  const auto on_record = std::make_shared<std::atomic<std::uint64_t>>(0);
  authenticated->received.on_record = on_record;
  if (needs_second_person(authenticated->received, services)) {
    auto held = co_await hold_for_second_person(*std::move(authenticated), services);
    if (!held) {
      co_await refuse(std::move(held).error(), route_taken.errors, responder, trail);
      co_return;
    }
    trail.count(held->status, held->error_code);
    responder.add_headers(record_header(*on_record));
    co_await responder.send(*std::move(held));
    co_return;
  }
  if (audits_itself(route_taken.handler)) {
    // The services write the intent and the result: they do so for the command line too. What is
    // refused before one of them saw it (a body that is no JSON) is recorded here.
    Response response = co_await act(*std::move(authenticated), services);
    if (*on_record != 0) {
      trail.count(response.status, response.error_code);
      responder.add_headers(record_header(*on_record));
    } else {
      Response answer = co_await recorded(std::move(response), trail);
      response = std::move(answer);
      responder.add_headers(trail.record_header());
    }
    co_await responder.send(std::move(response));
    co_return;
  }
  if (is_audit(route_taken.handler)) {
    auto noted = note_reading(authenticated->received, services, trail.record);
    if (!noted) {
      co_await refuse(std::move(noted).error(), route_taken.errors, responder, trail);
      co_return;
    }
  }
  const auto intent = co_await trail.intent();
  responder.add_headers(trail.record_header());
  if (intent && route_taken.handler == Handler::export_records) {
    co_await stream_export(*std::move(authenticated), responder, services, trail);
    co_return;
  }
  Response response = to_response(audit_unavailable());
  if (intent) {
    Response done = co_await act(*std::move(authenticated), services);
    response = co_await recorded(std::move(done), trail);
  }
  co_await responder.send(std::move(response));
}

}  // namespace

asio::awaitable<void> run_call(ReceivedCall call, Responder& responder, Services& services,
                               wire::RequestReader& reader) {
  const Handler handler = call.route->handler;
  if (!call.route->permission) {
    Response response = answer_health(handler, services);
    co_await responder.send(std::move(response));
    co_return;
  }
  if (handler == Handler::metrics && metrics_open_to(call, services)) {
    Response response = answer_metrics(services);
    co_await responder.send(std::move(response));
    co_return;
  }
  if (is_successor(handler)) {
    co_await answer_successor(std::move(call), responder, services);
    co_return;
  }
  if (handler == Handler::open_session) {
    co_await answer_sign_in(std::move(call), responder, services);
    co_return;
  }
  if (runs_inference(handler)) {
    co_await run_inference(std::move(call), responder, services, reader);
    co_return;
  }
  co_await run_action(std::move(call), responder, services);
}

asio::awaitable<void> refuse_call(ReceivedCall call, wire::Refusal refusal, Responder& responder,
                                  Services& services) {
  AuditTrail trail(services, services.metrics, call);
  co_await refuse(std::move(refusal), wire::ErrorShape::openai, responder, trail);
}

}  // namespace deepmoat::gateway
