#include "gateway/leak_admin.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "gateway/blocking.h"
#include "gateway/successor.h"

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

Result<Json> issue_certificate(const LeakDesk& desk, const identity::Actor& actor,
                               const wire::CertificateRequest& request) {
  const std::string tenant = request.tenant.value_or(actor.tenant.value());
  TRY(const identity::IssuedCertificate issued,
      desk.successors.issue(actor, tenant, request.client_id, request.days));
  return issued_json(issued);
}

Result<Json> list_certificates(const LeakDesk& desk, const identity::Actor& actor) {
  TRY(const auto certificates, desk.successors.list(actor));
  Json list = Json::array();
  for (const identity::CertificateInfo& certificate : certificates) {
    list.push_back(certificate_json(certificate));
  }
  return as_list(std::move(list));
}

Result<Json> leak(LeakService& leaks, const identity::Actor& actor, const std::string& reference,
                  const std::string& reason) {
  TRY(const OpenLeak leaked, leaks.withdraw(actor, reference, reason));
  TRY(audit::KeyUsage usage, leaks.usage(leaked));
  return leaks.record(leaked, std::move(usage));
}

Response to_answer(const Result<Json>& result) {
  if (!result) {
    return to_response(wire::to_field_refusal(result.error()));
  }
  return {.body = result->dump(-1, ' ', false, Json::error_handler_t::replace)};
}

// The steps of a leak on their threads. After the first one the key is dead, whatever follows.
asio::awaitable<Response> answer_leak(std::shared_ptr<const ReceivedCall> call,
                                      std::shared_ptr<const identity::Actor> actor,
                                      std::shared_ptr<const LeakRequest> request,
                                      Services& services) {
  LeakService& leaks = services.leak_desk->leaks;
  std::move_only_function<Result<OpenLeak>()> withdraw = [=, &leaks] {
    return leaks.withdraw(*actor, call->argument, request->reason);
  };
  Result<OpenLeak> withdrawn =
      co_await run_blocking<Result<OpenLeak>>(services.blocking, std::move(withdraw));
  if (!withdrawn) {
    co_return to_response(wire::to_field_refusal(withdrawn.error()));
  }
  const auto leaked = std::make_shared<const OpenLeak>(*std::move(withdrawn));
  std::move_only_function<Result<audit::KeyUsage>()> count = [=, &leaks] {
    return leaks.usage(*leaked);
  };
  Result<audit::KeyUsage> counted =
      co_await run_blocking<Result<audit::KeyUsage>>(*services.reports, std::move(count));
  if (!counted) {
    co_return to_response(wire::to_refusal(counted.error()));
  }
  const auto usage = std::make_shared<audit::KeyUsage>(*std::move(counted));
  std::move_only_function<Result<Json>()> record = [=, &leaks] {
    return leaks.record(*leaked, std::move(*usage));
  };
  const Result<Json> answer =
      co_await run_blocking<Result<Json>>(services.blocking, std::move(record));
  co_return to_answer(answer);
}

// On the thread of reports.
void finish(Services& services, LeakService& leaks, const OpenLeak& leak) {
  auto usage = leaks.usage(leak);
  if (!usage) {
    return;  // the server stops again
  }
  asio::post(services.blocking, [&leaks, leak, usage = *std::move(usage)]() mutable {
    const auto recorded = leaks.record(leak, std::move(usage));
    const std::string& incident = leak.incident_id;
    if (recorded) {
      log::info("finished a leak that was reported before the last stop", {{"incident", incident}});
    } else {
      log::error("a leak that was reported before the last stop could not be finished",
                 {{"incident", incident}, {"error", recorded.error().message}});
    }
  });
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

wire::OrRefusal<LeakRequest> read_leak_request(Handler handler, const std::string& body) {
  wire::RequestReader reader;
  LeakRequest request;
  if (handler == Handler::leak_key) {
    TRY(request.reason, reader.reason(body));
  } else if (handler == Handler::add_webhook) {
    TRY(request.webhook, reader.webhook(body));
  } else if (handler == Handler::issue_certificate) {
    TRY(request.certificate, reader.certificate(body));
  }
  return request;
}

Result<Json> act_on_leaks(const LeakDesk& desk, Handler handler, const identity::Actor& actor,
                          const std::string& argument, const LeakRequest& request) {
  switch (handler) {
    case Handler::leak_key:
      return leak(desk.leaks, actor, argument, request.reason);
    case Handler::list_incidents:
      return listed(desk.leaks.list(actor));
    case Handler::show_incident:
      return desk.leaks.show(actor, argument);
    case Handler::incident_key:
      return desk.leaks.public_key(actor);
    case Handler::add_webhook:
      return desk.webhooks.add(actor, request.webhook.url, request.webhook.events,
                               request.webhook.tenant.value_or(actor.tenant.value()));
    case Handler::list_webhooks:
      return listed(desk.webhooks.list(actor));
    case Handler::remove_webhook:
      return desk.webhooks.remove(actor, argument);
    case Handler::test_webhook:
      return desk.webhooks.test(actor, argument);
    case Handler::list_deliveries:
      return listed(desk.webhooks.deliveries(actor));
    case Handler::issue_certificate:
      return issue_certificate(desk, actor, request.certificate);
    case Handler::list_certificates:
      return list_certificates(desk, actor);
    case Handler::revoke_certificate:
      CHECK_OK(desk.successors.revoke(actor, argument));
      return Json{{"fingerprint", argument}, {"state", "revoked"}};
    default:
      return fail(Code::internal, "no such action");
  }
}

void finish_open_leaks(Services& services) {
  asio::post(services.blocking, [&services, &leaks = services.leak_desk->leaks] {
    const auto open = leaks.open_leaks();
    if (!open) {
      log::error("unfinished reports of leaks could not be read",
                 {{"error", open.error().message}});
      return;
    }
    for (const OpenLeak& leak : *open) {
      asio::post(*services.reports, [&services, &leaks, leak] { finish(services, leaks, leak); });
    }
  });
}

asio::awaitable<Response> answer_leaks(std::shared_ptr<const ReceivedCall> call,
                                       std::shared_ptr<const identity::Actor> actor,
                                       Services& services) {
  if (services.leak_desk == nullptr) {
    co_return to_response(wire::to_refusal({Code::unavailable, "this server keeps no incidents"}));
  }
  const Handler handler = call->route->handler;
  auto read = read_leak_request(handler, call->body);
  if (!read) {
    co_return to_response(read.error());
  }
  const auto request = std::make_shared<const LeakRequest>(*std::move(read));
  if (handler == Handler::leak_key) {
    Response answer = co_await answer_leak(std::move(call), std::move(actor), request, services);
    co_return answer;
  }
  std::move_only_function<Result<Json>()> work = [=, &services] {
    return act_on_leaks(*services.leak_desk, handler, *actor, call->argument, *request);
  };
  const Result<Json> answer =
      co_await run_blocking<Result<Json>>(services.blocking, std::move(work));
  co_return to_answer(answer);
}

}  // namespace deepmoat::gateway
