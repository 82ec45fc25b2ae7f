#include "gateway/model_admin.h"

#include <nlohmann/json.hpp>

namespace deepmoat::gateway {

namespace {

using Json = nlohmann::ordered_json;

Response json_response(const Json& body, int status = 200) {
  return {.status = status, .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

Json worker_json(const backend::BackendStatus& status) {
  const wire::Ready& facts = status.facts;
  const wire::Stats& stats = status.stats;
  return {{"health", backend::health_name(status.health)},
          {"load_fraction", status.load_fraction},
          {"restarts", status.restarts},
          {"last_failure", status.failure},
          {"description", facts.description()},
          {"task", facts.task()},
          {"context_tokens", facts.context_tokens()},
          {"cells_total", facts.cells()},
          {"layout", facts.layout()},
          {"sharing", facts.sharing()},
          {"adapters", facts.adapters()},
          {"cpu_variant", facts.cpu_variant()},
          {"threads", facts.threads()},
          {"sandbox", facts.sandbox()},
          {"memory_bytes", facts.memory_bytes()},
          {"running", stats.running()},
          {"waiting", stats.waiting()},
          {"cells_used", stats.cells_used()},
          {"cells_cached", stats.cells_cached()},
          {"prefix_query_tokens", stats.prefix_queries()},
          {"prefix_hit_tokens", stats.prefix_hits()},
          {"preemptions", stats.preemptions()},
          {"tokens_generated", stats.tokens_generated()}};
}

Json state_json(const backend::ModelHost& host) {
  const backend::ModelStatus status = host.model_status();
  Json failure = nullptr;
  if (status.failure) {
    failure = {{"code", status.failure->code}, {"message", status.failure->message}};
  }
  Json workers = Json::array();
  for (const backend::BackendStatus& one : host.replicas()) {
    workers.push_back(worker_json(one));
  }
  return {{"name", status.name},
          {"state", backend::health_name(status.health)},
          {"version", status.identity.version},
          {"changing", status.changing},
          {"failure", failure},
          {"memory_bytes", status.memory_bytes},
          {"running", status.running},
          {"waiting", status.waiting},
          {"loads", status.loads},
          {"replicas", workers}};
}

}  // namespace

Response list_model_states(const Services& services) {
  Json data = Json::array();
  Json memory = {{"budget_bytes", 0}, {"used_bytes", 0}};
  if (services.fleet != nullptr) {
    for (const auto& host : services.fleet->all()) {
      data.push_back(state_json(*host));
    }
    memory = {{"budget_bytes", services.fleet->budget_bytes()},
              {"used_bytes", services.fleet->memory_bytes()}};
  }
  return json_response({{"object", "list"}, {"memory", memory}, {"data", data}});
}

Response change_model(Handler handler, const std::string& name, const Services& services) {
  const auto host = services.fleet != nullptr ? services.fleet->find(name) : nullptr;
  if (!host) {
    return to_response(wire::Refusal{.status = 404,
                                     .type = "invalid_request_error",
                                     .code = "model_not_found",
                                     .message = "The model '" + name + "' is not configured here.",
                                     .param = "model"});
  }
  const Result<> begun = handler == Handler::load_model     ? host->load()
                         : handler == Handler::unload_model ? host->unload()
                                                            : host->swap();
  return begun ? json_response(state_json(*host), 202)
               : to_response(wire::to_refusal(begun.error()));
}

}  // namespace deepmoat::gateway
