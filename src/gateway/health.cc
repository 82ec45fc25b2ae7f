#include "gateway/health.h"

#include <nlohmann/json.hpp>

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

Json checks(const Services& services) {
  Json models = Json::object();
  for (const auto& model : services.models.all()) {
    models[model->name.value()] = backend::health_name(model->backend->health());
  }
  Json checks = {{"audit_log", audit_state(services)},
                 {"accepting", services.draining ? "draining" : "ok"}};
  if (services.custody != nullptr) {
    checks["custody"] = crypto::custody_state_name(services.custody->watch.state());
  }
  checks["models"] = models;
  return checks;
}

// A server without any model is ready too: it manages keys.
bool ready(const Services& services) {
  const bool sealed = services.custody != nullptr && !services.custody->watch.may_serve();
  return services.audit_log.healthy() && !services.draining && !sealed &&
         (services.models.all().empty() || services.models.ready());
}

}  // namespace

std::string_view audit_state(const Services& services) {
  const audit::LogState state = services.audit_log.state();
  return state == audit::LogState::writing ? "ok" : audit::log_state_name(state);
}

Response answer_health(Handler handler, const Services& services) {
  const bool is_ready = ready(services);
  Response response;
  Json body;
  switch (handler) {
    case Handler::livez:
      body = {{"status", "ok"}};
      break;
    case Handler::readyz:
      response.status = is_ready ? 200 : 503;
      body = {{"status", is_ready ? "ready" : "not ready"}, {"checks", checks(services)}};
      break;
    case Handler::health:
      // llama-server's and vLLM's path: 200 once a model answers.
      response.status = is_ready ? 200 : 503;
      body = {{"status", is_ready ? "ok" : "loading model"}};
      break;
    default:
      response.status = 404;
      break;
  }
  response.body = body.dump();
  return response;
}

}  // namespace deepmoat::gateway
