#include "gateway/models.h"

#include <algorithm>

namespace deepmoat::gateway {

Models::Models() : current_(std::make_shared<const Snapshot>()) {}

Result<> Models::publish(std::vector<Model> models) {
  std::vector<policy::LocalModel> local;
  auto next = std::make_shared<Snapshot>();
  for (Model& model : models) {
    local.push_back({model.name, model.name.value()});
    next->models.push_back(std::make_shared<const Model>(std::move(model)));
  }
  TRY(next->routes, policy::RouteTable::make(local));
  current_.store(std::move(next));
  return {};
}

std::shared_ptr<const Model> Models::find(const ModelName& name) const {
  const auto snapshot = current_.load();
  const auto found =
      std::ranges::find(snapshot->models, name, [](const auto& model) { return model->name; });
  return found == snapshot->models.end() ? nullptr : *found;
}

Result<policy::Route> Models::route(const ModelName& name, policy::DataClass data_class) const {
  return current_.load()->routes.route(name, data_class);
}

Models::List Models::all() const {
  return current_.load()->models;
}

std::vector<wire::ModelListing> Models::listing() const {
  std::vector<wire::ModelListing> list;
  for (const auto& model : all()) {
    list.push_back({model->name.value(), model->backend->identity().created_s});
  }
  return list;
}

void Models::shut_down() const {
  for (const auto& model : all()) {
    model->backend->shut_down();
  }
}

bool Models::ready() const {
  return std::ranges::any_of(all(), [](const auto& model) {
    const backend::Health health = model->backend->health();
    return health == backend::Health::ready || health == backend::Health::sleeping;
  });
}

}  // namespace deepmoat::gateway
