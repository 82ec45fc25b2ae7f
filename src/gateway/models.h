// The models that callers can name, and the backend of each.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "policy/route.h"
#include "wire/model_listing.h"

namespace deepmoat::gateway {

struct Model {
  ModelName name;
  std::shared_ptr<backend::Backend> backend;

  [[nodiscard]] std::string version() const { return backend->identity().version; }
};

// A list that is replaced whole while calls run; a call keeps the model that it found. Thread-safe.
class Models {
 public:
  using List = std::vector<std::shared_ptr<const Model>>;

  Models();

  // From now on these are the models. Code::already_exists, and nothing changes, when two have one
  // name.
  Result<> publish(std::vector<Model> models);

  // Null when there is none.
  [[nodiscard]] std::shared_ptr<const Model> find(const ModelName& name) const;
  [[nodiscard]] Result<policy::Route> route(const ModelName& name,
                                            policy::DataClass data_class) const;
  [[nodiscard]] List all() const;  // in the order of the configuration
  [[nodiscard]] std::vector<wire::ModelListing> listing() const;
  // Ends all backends for good; every running call gets its last event.
  void shut_down() const;
  // At least one model answers calls, or is loaded by the next one.
  [[nodiscard]] bool ready() const;

 private:
  struct Snapshot {
    List models;
    policy::RouteTable routes;
  };
  std::atomic<std::shared_ptr<const Snapshot>> current_;
};

}  // namespace deepmoat::gateway
