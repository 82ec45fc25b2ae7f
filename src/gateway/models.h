// The models that callers can name, and the backend of each.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "policy/route.h"
#include "wire/model_listing.h"

namespace deepmoat::gateway {

struct Model {
  ModelName name;
  std::string version;         // first 16 hex digits of the file's SHA-256
  std::int64_t created_s = 0;  // the file's time
  std::unique_ptr<backend::Backend> backend;
};

// Immutable after construction, so thread-safe.
class Models {
 public:
  // Code::already_exists when two models have one name.
  static Result<Models> make(std::vector<Model> models);

  [[nodiscard]] const Model* find(const ModelName& name) const;
  // The first of the configuration: what POST /api/predict uses when it names none.
  [[nodiscard]] const Model* fallback() const { return models_.empty() ? nullptr : models_.data(); }
  [[nodiscard]] const policy::RouteTable& routes() const { return routes_; }
  [[nodiscard]] const std::vector<Model>& all() const { return models_; }
  [[nodiscard]] std::vector<wire::ModelListing> listing() const;
  // Ends all backends for good; every running call gets its last event.
  void shut_down() const;
  // At least one model answers calls.
  [[nodiscard]] bool ready() const;

 private:
  std::vector<Model> models_;
  policy::RouteTable routes_;
};

}  // namespace deepmoat::gateway
