#include "gateway/catalog_admin.h"

#include <algorithm>

#include "gateway/catalog_service.h"

namespace deepmoat::gateway {

namespace {

using Json = CatalogService::Json;

Response answer(const Result<Json>& result) {
  if (!result) {
    return to_response(wire::to_refusal(result.error()));
  }
  return {.body = result->dump(-1, ' ', false, Json::error_handler_t::replace)};
}

// A version that a worker holds under its name, or an adapter by the name of one that a worker
// holds.
bool in_use(const Services& services, const catalog::Entry& entry) {
  return std::ranges::any_of(services.models.all(), [&entry](const auto& model) {
    if (entry.kind == catalog::Kind::model) {
      return model->name.value() == entry.name && model->version() == entry.version();
    }
    const auto facts = model->backend->status().facts;
    return std::ranges::find(facts.adapters(), entry.name) != facts.adapters().end();
  });
}

std::string version_in(const Json& request) {
  return request.contains("version") && request["version"].is_string()
             ? request["version"].get<std::string>()
             : "";
}

}  // namespace

bool is_catalog(Handler handler) {
  switch (handler) {
    case Handler::list_catalog:
    case Handler::add_to_catalog:
    case Handler::pin_version:
    case Handler::unpin_version:
    case Handler::remove_version:
      return true;
    default:
      return false;
  }
}

Response act_on_catalog(const Services& services, const identity::Actor& actor,
                        const ReceivedCall& call) {
  if (services.catalog == nullptr) {
    return to_response(wire::to_refusal({Code::unavailable, "this server has no catalog"}));
  }
  CatalogService service(
      *services.catalog, services.audit_log, services.clock,
      [&services](const catalog::Entry& entry) { return in_use(services, entry); });
  if (call.route->handler == Handler::list_catalog) {
    const auto list = service.list(actor);
    return list ? answer(Json{{"object", "list"}, {"data", *list}}) : answer(list);
  }
  wire::RequestReader reader;
  const wire::OrRefusal<Json> read =
      call.body.empty() ? wire::OrRefusal<Json>(Json::object()) : reader.object(call.body);
  if (!read) {
    return to_response(read.error());
  }
  const Json& request = *read;
  switch (call.route->handler) {
    case Handler::add_to_catalog:
      return answer(service.add(actor, request));
    case Handler::pin_version:
      return answer(service.pin(actor, call.argument, version_in(request)));
    case Handler::unpin_version:
      return answer(service.unpin(actor, call.argument));
    case Handler::remove_version:
      return answer(service.remove(actor, call.argument, version_in(request)));
    default:
      return to_response(wire::to_refusal({Code::internal, "no such action"}));
  }
}

}  // namespace deepmoat::gateway
