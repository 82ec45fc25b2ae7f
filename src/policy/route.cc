// The route table. Immutable.
#include "policy/route.h"

#include <algorithm>

namespace deepmoat::policy {

Result<RouteTable> RouteTable::make(const std::vector<LocalModel>& models) {
  RouteTable table;
  for (const LocalModel& model : models) {
    const auto [place, fresh] =
        table.routes_.emplace(model.model, Route{.backend = model.backend, .local = true});
    if (!fresh) {
      return fail(Code::already_exists,
                  "model \"" + model.model.value() + "\" is served by two backends, " +
                      place->second.backend + " and " + model.backend + "; give one another name");
    }
  }
  return table;
}

Result<Route> RouteTable::route(const ModelName& model,
                                [[maybe_unused]] DataClass data_class) const {
  const auto found = routes_.find(model);
  if (found == routes_.end()) {
    return fail(Code::not_found, "The model \"" + model.value() + "\" does not exist here.");
  }
  return found->second;
}

std::vector<ModelName> RouteTable::models() const {
  std::vector<ModelName> names;
  for (const auto& [model, route] : routes_) {
    names.push_back(model);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace deepmoat::policy
