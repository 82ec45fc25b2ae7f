#include "gateway/admin.h"

#include <nlohmann/json.hpp>

#include "gateway/approval_admin.h"
#include "gateway/audit_admin.h"
#include "gateway/blocking.h"
#include "gateway/catalog_admin.h"
#include "gateway/custody_admin.h"
#include "gateway/health.h"
#include "gateway/key_admin.h"
#include "gateway/leak_admin.h"
#include "gateway/metrics.h"
#include "gateway/model_admin.h"
#include "gateway/oversight_admin.h"
#include "gateway/people_admin.h"
#include "gateway/rotate_key.h"
#include "gateway/second_factor_admin.h"
#include "gateway/sign_in.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

Response json_response(const Json& body) {
  return {.body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

// The models that the key may use; of others it learns nothing.
std::vector<wire::ModelListing> models_for(const identity::KeyRules& rules,
                                           const Services& services) {
  std::vector<wire::ModelListing> listing = services.models.listing();
  std::erase_if(listing,
                [&](const wire::ModelListing& model) { return !rules.may_use_model(model.id); });
  return listing;
}

Response show_model(const Services& services, const AuthenticatedCall& call) {
  const std::string& name = call.received.argument;
  for (const wire::ModelListing& model : models_for(*call.principal.rules, services)) {
    if (model.id == name) {
      return {.body = wire::model_body(model)};
    }
  }
  return to_response(wire::Refusal{.status = 404,
                                   .type = "invalid_request_error",
                                   .code = "model_not_found",
                                   .message = "The model '" + name + "' does not exist.",
                                   .param = "model"});
}

Response own_usage(const Services& services, const AuthenticatedCall& call) {
  const quota::KeyUsage usage = services.ledger.usage_of(call.principal.account());
  return json_response({{"key_id", call.principal.key_id.value()},
                        {"client_id", call.principal.client_id.value()},
                        {"expires_at", call.principal.expires_ms / 1000},
                        {"since_start",
                         {{"requests", usage.requests},
                          {"refused", usage.refused},
                          {"tokens_in", usage.tokens_in},
                          {"tokens_out", usage.tokens_out},
                          {"running", usage.running}}}});
}

Json model_status(const Model& model) {
  const backend::BackendStatus status = model.backend->status();
  return {{"name", model.name.value()},
          {"version", model.version()},
          {"health", backend::health_name(status.health)},
          {"load_fraction", status.load_fraction},
          {"description", status.facts.description()},
          {"context_tokens", status.facts.context_tokens()},
          {"cpu_variant", status.facts.cpu_variant()},
          {"sandbox", status.facts.sandbox()},
          {"restarts", status.restarts},
          {"last_failure", status.failure},
          {"running", status.stats.running()},
          {"waiting", status.stats.waiting()},
          {"cells_used", status.stats.cells_used()},
          {"cells_total", status.stats.cells_total()},
          {"prompt_tokens_computed", status.stats.prompt_tokens_computed()},
          {"prompt_tokens_cached", status.stats.prompt_tokens_cached()},
          {"tokens_generated", status.stats.tokens_generated()}};
}

Response server_status(const Services& services) {
  Json models = Json::array();
  for (const auto& model : services.models.all()) {
    models.push_back(model_status(*model));
  }
  return json_response({{"draining", services.draining.load()},
                        {"audit_log", audit_state(services)},
                        {"calls_running", services.ledger.running()},
                        {"models", models}});
}

}  // namespace

std::string authentication_of(const identity::Principal& principal) {
  if (principal.key_id.value().empty()) {
    return "local_socket";
  }
  return identity::is_session(principal.key_id) ? "session" : "api_key";
}

identity::Actor actor_of(const ReceivedCall& call, const identity::Principal& principal) {
  identity::Actor actor{.operator_id = principal.client_id.value(),
                        .key_id = principal.key_id.value(),
                        .role = std::string(identity::role_name(principal.role)),
                        .tenant = principal.tenant,
                        .authentication = authentication_of(principal),
                        .ip_address = call.address,
                        .request_id = call.request_id.value(),
                        .on_record = call.on_record};
  if (!identity::is_session(principal.key_id) &&
      principal.rules->permissions != identity::permissions_of(principal.role)) {
    actor.narrowed_to = principal.rules->permissions;
  }
  return actor;
}

bool audits_itself(Handler handler) {
  return is_key_admin(handler) || is_catalog(handler) || is_second_factor(handler) ||
         is_leak(handler) || is_people(handler) || is_approval(handler) || is_oversight(handler) ||
         handler == Handler::rotate_key || handler == Handler::end_session;
}

Response act_as(const Services& services, const identity::Actor& actor, const ReceivedCall& call) {
  if (is_catalog(call.route->handler)) {
    return act_on_catalog(services, actor, call);
  }
  if (call.route->handler == Handler::roll_custody) {
    return roll_custody(services);
  }
  if (is_second_factor(call.route->handler)) {
    return act_on_second_factors(services, actor, call);
  }
  if (is_people(call.route->handler)) {
    return answer_people(services, actor, call);
  }
  if (is_oversight(call.route->handler)) {
    return act_on_oversight(services, actor, call);
  }
  return act_on_keys(services, actor, call, services.config.get()->keys.lifetime_days);
}

asio::awaitable<Response> act(AuthenticatedCall call, Services& services) {
  switch (call.received.route->handler) {
    case Handler::list_models:
      co_return Response{.body = wire::models_body(models_for(*call.principal.rules, services))};
    case Handler::show_model:
      co_return show_model(services, call);
    case Handler::own_usage:
      co_return own_usage(services, call);
    case Handler::show_session:
      co_return show_session(services, call.principal);
    case Handler::status:
      co_return server_status(services);
    case Handler::metrics:
      co_return answer_metrics(services);
    case Handler::list_model_states:
      co_return list_model_states(services);
    case Handler::load_model:
    case Handler::unload_model:
    case Handler::swap_model:
      co_return change_model(call.received.route->handler, call.received.argument, services);
    default:
      break;
  }
  if (call.received.route->handler == Handler::custody_status) {
    co_return answer_custody_status(services);
  }
  if (is_audit(call.received.route->handler)) {
    auto reading = std::make_shared<const AuthenticatedCall>(std::move(call));
    Response answer = co_await answer_audit(std::move(reading), services);
    co_return answer;
  }
  if (is_leak(call.received.route->handler)) {
    auto actor = std::make_shared<const identity::Actor>(actor_of(call.received, call.principal));
    auto received = std::make_shared<const ReceivedCall>(std::move(call.received));
    Response answer = co_await answer_leaks(std::move(received), std::move(actor), services);
    co_return answer;
  }
  const auto shared_call = std::make_shared<AuthenticatedCall>(std::move(call));
  std::move_only_function<Response()> work = [&services, shared_call] {
    const ReceivedCall& received = shared_call->received;
    if (is_approval(received.route->handler)) {
      return act_on_approvals(services, *shared_call);
    }
    const identity::Actor actor = actor_of(received, shared_call->principal);
    if (received.route->handler == Handler::end_session) {
      return end_session(services, actor, shared_call->principal);
    }
    if (received.route->handler == Handler::rotate_key) {
      return rotate_key(services, actor, *shared_call, services.config.get()->keys.lifetime_days);
    }
    return act_as(services, actor, received);
  };
  Response response = co_await run_blocking<Response>(services.blocking, std::move(work));
  co_return response;
}

}  // namespace deepmoat::gateway
