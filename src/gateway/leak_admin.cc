#include "gateway/leak_admin.h"

#include <nlohmann/json.hpp>

#include "gateway/blocking.h"
#include "gateway/successor.h"
#include "wire/request_reader.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

Json as_list(Json data) {
  return {{"object", "list"}, {"data", std::move(data)}};
}

Result<Json> listed(Result<Json> data) {
  TRY(Json list, std::move(data));
  return as_list(std::move(list));
}

Result<std::string> reason_in(const std::string& body) {
  wire::RequestReader reader;
  auto reason = reader.reason(body);
  if (!reason) {
    return fail(Code::invalid_argument, reason.error().message);
  }
  return *std::move(reason);
}

Result<std::string> text_in(const Json& request, const char* name, const char* fallback) {
  const auto found = request.find(name);
  if (found == request.end()) {
    return std::string(fallback);
  }
  if (!found->is_string()) {
    return fail(Code::invalid_argument, std::string(name) + ": must be text");
  }
  return found->get<std::string>();
}

Result<Json> object_in(const std::string& body) {
  wire::RequestReader reader;
  auto request = reader.object(body);
  if (!request) {
    return fail(Code::invalid_argument, request.error().message);
  }
  return *std::move(request);
}

Result<Json> issue_certificate(const LeakDesk& desk, const identity::Actor& actor,
                               const std::string& body) {
  constexpr std::int64_t kDaysDefault = 365;
  TRY(const Json request, object_in(body));
  TRY(const std::string client_id, text_in(request, "client_id", ""));
  TRY(const std::string tenant, text_in(request, "tenant", actor.tenant.value().c_str()));
  const auto days = request.find("days");
  if (days != request.end() && !days->is_number_integer()) {
    return fail(Code::invalid_argument, "days: must be a whole number");
  }
  TRY(const identity::IssuedCertificate issued,
      desk.successors.issue(actor, tenant, client_id,
                            days == request.end() ? kDaysDefault : days->get<std::int64_t>()));
  return issued_json(issued, desk.clock.unix_ms());
}

Result<Json> list_certificates(const LeakDesk& desk, const identity::Actor& actor) {
  TRY(const auto rows, desk.successors.list(actor));
  Json list = Json::array();
  for (const store::ClientCertificateRow& row : rows) {
    list.push_back(certificate_json(row, desk.clock.unix_ms()));
  }
  return as_list(std::move(list));
}

Result<Json> add_webhook(webhook::WebhookService& webhooks, const identity::Actor& actor,
                         const std::string& body) {
  TRY(const Json request, object_in(body));
  TRY(const std::string url, text_in(request, "url", ""));
  TRY(const std::string tenant, text_in(request, "tenant", actor.tenant.value().c_str()));
  std::vector<std::string> events;
  const auto named = request.find("events");
  if (named != request.end()) {
    for (const Json& event : *named) {
      if (!named->is_array() || !event.is_string()) {
        return fail(Code::invalid_argument, "events: must be a list of names");
      }
      events.push_back(event.get<std::string>());
    }
  }
  return webhooks.add(actor, url, events, tenant);
}

Result<Json> leak(LeakService& leaks, const identity::Actor& actor, const std::string& reference,
                  const std::string& body) {
  TRY(const std::string reason, reason_in(body));
  TRY(const identity::LeakedKey leaked, leaks.withdraw(actor, reference, reason));
  audit::KeyUsage usage = leaks.usage(leaked);
  return leaks.record(actor, leaked, reason, std::move(usage));
}

Response to_answer(const Result<Json>& result) {
  if (!result) {
    return to_response(wire::to_refusal(result.error()));
  }
  return {.body = result->dump(-1, ' ', false, Json::error_handler_t::replace)};
}

// The steps of a leak on their threads. After the first one the key is dead, whatever follows.
asio::awaitable<Response> answer_leak(std::shared_ptr<const ReceivedCall> call,
                                      std::shared_ptr<const identity::Actor> actor,
                                      Services& services) {
  LeakService& leaks = services.leak_desk->leaks;
  const auto reason = std::make_shared<Result<std::string>>(reason_in(call->body));
  if (!*reason) {
    co_return to_response(wire::to_refusal(reason->error()));
  }
  std::move_only_function<Result<identity::LeakedKey>()> withdraw = [=, &leaks] {
    return leaks.withdraw(*actor, call->argument, **reason);
  };
  Result<identity::LeakedKey> withdrawn =
      co_await run_blocking<Result<identity::LeakedKey>>(services.blocking, std::move(withdraw));
  if (!withdrawn) {
    co_return to_response(wire::to_refusal(withdrawn.error()));
  }
  const auto leaked = std::make_shared<const identity::LeakedKey>(*std::move(withdrawn));
  std::move_only_function<audit::KeyUsage()> count = [=, &leaks] { return leaks.usage(*leaked); };
  audit::KeyUsage counted =
      co_await run_blocking<audit::KeyUsage>(*services.reports, std::move(count));
  const auto usage = std::make_shared<audit::KeyUsage>(std::move(counted));
  std::move_only_function<Result<Json>()> record = [=, &leaks] {
    return leaks.record(*actor, *leaked, **reason, std::move(*usage));
  };
  const Result<Json> answer =
      co_await run_blocking<Result<Json>>(services.blocking, std::move(record));
  co_return to_answer(answer);
}

}  // namespace

bool is_leak(Handler handler) {
  switch (handler) {
    case Handler::leak_key:
    case Handler::list_incidents:
    case Handler::show_incident:
    case Handler::incident_key:
    case Handler::add_webhook:
    case Handler::list_webhooks:
    case Handler::remove_webhook:
    case Handler::test_webhook:
    case Handler::list_deliveries:
    case Handler::issue_certificate:
    case Handler::list_certificates:
    case Handler::revoke_certificate:
      return true;
    default:
      return false;
  }
}

Result<Json> act_on_leaks(const LeakDesk& desk, Handler handler, const identity::Actor& actor,
                          const std::string& argument, const std::string& body) {
  switch (handler) {
    case Handler::leak_key:
      return leak(desk.leaks, actor, argument, body);
    case Handler::list_incidents:
      return listed(desk.leaks.list(actor));
    case Handler::show_incident:
      return desk.leaks.show(actor, argument);
    case Handler::incident_key:
      return desk.leaks.public_key(actor);
    case Handler::add_webhook:
      return add_webhook(desk.webhooks, actor, body);
    case Handler::list_webhooks:
      return listed(desk.webhooks.list(actor));
    case Handler::remove_webhook:
      return desk.webhooks.remove(actor, argument);
    case Handler::test_webhook:
      return desk.webhooks.test(actor, argument);
    case Handler::list_deliveries:
      return listed(desk.webhooks.deliveries(actor));
    case Handler::issue_certificate:
      return issue_certificate(desk, actor, body);
    case Handler::list_certificates:
      return list_certificates(desk, actor);
    case Handler::revoke_certificate:
      CHECK_OK(desk.successors.revoke(actor, argument));
      return Json{{"fingerprint", argument}, {"state", "revoked"}};
    default:
      return fail(Code::internal, "no such action");
  }
}

asio::awaitable<Response> answer_leaks(std::shared_ptr<const ReceivedCall> call,
                                       std::shared_ptr<const identity::Actor> actor,
                                       Services& services) {
  if (services.leak_desk == nullptr) {
    co_return to_response(wire::to_refusal({Code::unavailable, "this server keeps no incidents"}));
  }
  if (call->route->handler == Handler::leak_key) {
    Response answer = co_await answer_leak(std::move(call), std::move(actor), services);
    co_return answer;
  }
  std::move_only_function<Result<Json>()> work = [=, &services] {
    return act_on_leaks(*services.leak_desk, call->route->handler, *actor, call->argument,
                        call->body);
  };
  const Result<Json> answer =
      co_await run_blocking<Result<Json>>(services.blocking, std::move(work));
  co_return to_answer(answer);
}

}  // namespace deepmoat::gateway
