#include "gateway/admin.h"

#include <nlohmann/json.hpp>

#include "gateway/blocking.h"
#include "gateway/catalog_admin.h"
#include "gateway/key_json.h"
#include "gateway/leak_admin.h"
#include "gateway/metrics.h"
#include "gateway/model_admin.h"

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

identity::Actor actor_of(const AuthenticatedCall& call) {
  return {.operator_id = call.principal.client_id.value(),
          .key_id = call.principal.key_id.value(),
          .role = std::string(identity::role_name(call.principal.role)),
          .tenant = call.principal.tenant,
          .authentication = call.received.local_uid ? "local_socket" : "api_key",
          .ip_address = call.received.address,
          .request_id = call.received.request_id.value()};
}

Response json_response(const Json& body) {
  return {.body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

Response answer_key(const Result<identity::KeyInfo>& key) {
  return key ? json_response(key_json(*key)) : to_response(wire::to_refusal(key.error()));
}

Response create_key(identity::KeyService& keys, const identity::Actor& actor,
                    const std::string& body, std::int64_t lifetime_days) {
  wire::RequestReader reader;
  auto request = reader.create_key(body);
  if (!request) {
    return to_response(request.error());
  }
  const auto role = identity::parse_role(request->role);
  if (!role) {
    return to_response(wire::invalid("role", role.error().message));
  }
  const std::int64_t lifetime_s =
      request->lifetime_s > 0 ? request->lifetime_s : lifetime_days * 86'400;
  auto created = keys.create(actor, {.client_id = request->client_id,
                                     .role = *role,
                                     .tenant = request->tenant,
                                     .lifetime_s = lifetime_s,
                                     .label = request->label});
  if (!created) {
    return to_response(wire::to_refusal(created.error()));
  }
  Json json = key_json(created->info);
  // The only time that the key exists outside the client; the response is not logged anywhere.
  json["key"] = created->shown.reveal();
  return json_response(json);
}

Response list_keys(identity::KeyService& keys, const identity::Actor& actor) {
  const auto list = keys.list(actor);
  if (!list) {
    return to_response(wire::to_refusal(list.error()));
  }
  Json data = Json::array();
  for (const identity::KeyInfo& key : *list) {
    data.push_back(key_json(key));
  }
  return json_response({{"object", "list"}, {"data", data}});
}

Response revoke_key(identity::KeyService& keys, const identity::Actor& actor,
                    const ReceivedCall& call) {
  wire::RequestReader reader;
  const auto reason = reader.reason(call.body);
  if (!reason) {
    return to_response(reason.error());
  }
  return answer_key(keys.revoke(actor, call.argument, *reason));
}

Response expire_key(identity::KeyService& keys, const identity::Actor& actor,
                    const ReceivedCall& call) {
  wire::RequestReader reader;
  const auto at_s = reader.expires_at(call.body);
  if (!at_s) {
    return to_response(at_s.error());
  }
  return answer_key(keys.expire(actor, call.argument, *at_s * 1000));
}

// On the blocking thread.
Response act_on_keys(identity::KeyService& keys, const identity::Actor& actor,
                     const ReceivedCall& call, std::int64_t lifetime_days) {
  switch (call.route->handler) {
    case Handler::create_key:
      return create_key(keys, actor, call.body, lifetime_days);
    case Handler::list_keys:
      return list_keys(keys, actor);
    case Handler::show_key:
      return answer_key(keys.show(actor, call.argument));
    case Handler::revoke_key:
      return revoke_key(keys, actor, call);
    case Handler::expire_key:
      return expire_key(keys, actor, call);
    default:
      return to_response(wire::to_refusal({Code::internal, "no such action"}));
  }
}

Response show_model(const Services& services, const std::string& name) {
  for (const wire::ModelListing& model : services.models.listing()) {
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
  const quota::KeyUsage usage = services.ledger.usage_of(call.principal.key_id);
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
                        {"audit_log", services.audit_log.healthy() ? "ok" : "failed"},
                        {"calls_running", services.ledger.running()},
                        {"models", models}});
}

}  // namespace

bool audits_itself(Handler handler) {
  switch (handler) {
    case Handler::create_key:
    case Handler::list_keys:
    case Handler::show_key:
    case Handler::revoke_key:
    case Handler::expire_key:
      return true;
    default:
      return is_catalog(handler) || is_leak(handler);
  }
}

asio::awaitable<Response> act(AuthenticatedCall call, Services& services) {
  switch (call.received.route->handler) {
    case Handler::list_models:
      co_return Response{.body = wire::models_body(services.models.listing())};
    case Handler::show_model:
      co_return show_model(services, call.received.argument);
    case Handler::own_usage:
      co_return own_usage(services, call);
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
  if (is_leak(call.received.route->handler)) {
    auto actor = std::make_shared<const identity::Actor>(actor_of(call));
    auto received = std::make_shared<const ReceivedCall>(std::move(call.received));
    Response answer = co_await answer_leaks(std::move(received), std::move(actor), services);
    co_return answer;
  }
  const std::int64_t lifetime_days = services.config.get()->keys.lifetime_days;
  const auto shared_call = std::make_shared<AuthenticatedCall>(std::move(call));
  std::move_only_function<Response()> work = [&services, shared_call, lifetime_days] {
    if (is_catalog(shared_call->received.route->handler)) {
      return act_on_catalog(services, actor_of(*shared_call), shared_call->received);
    }
    return act_on_keys(services.keys, actor_of(*shared_call), shared_call->received, lifetime_days);
  };
  Response response = co_await run_blocking<Response>(services.blocking, std::move(work));
  co_return response;
}

}  // namespace deepmoat::gateway
