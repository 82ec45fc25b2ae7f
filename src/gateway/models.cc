#include "gateway/models.h"

#include <algorithm>

namespace deepmoat::gateway {

Result<Models> Models::make(std::vector<Model> models) {
  std::vector<policy::LocalModel> local;
  for (const Model& model : models) {
    local.push_back({model.name, model.name.value()});
  }
  Models made;
  TRY(made.routes_, policy::RouteTable::make(local));
  made.models_ = std::move(models);
  return made;
}

const Model* Models::find(const ModelName& name) const {
  const auto found = std::ranges::find(models_, name, &Model::name);
  return found == models_.end() ? nullptr : &*found;
}

std::vector<wire::ModelListing> Models::listing() const {
  std::vector<wire::ModelListing> list;
  for (const Model& model : models_) {
    list.push_back({model.name.value(), model.created_s});
  }
  return list;
}

void Models::shut_down() const {
  for (const Model& model : models_) {
    model.backend->shut_down();
  }
}

bool Models::ready() const {
  return std::ranges::any_of(models_, [](const Model& model) {
    return model.backend->status().health == backend::Health::ready;
  });
}

}  // namespace deepmoat::gateway
