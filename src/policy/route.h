// Which backend a call goes to. Immutable after construction, so thread-safe: a reload builds a
// new table and swaps the pointer.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/strong.h"
#include "policy/data_class.h"

namespace deepmoat::policy {

// A backend inside these walls: a worker of this machine.
struct LocalModel {
  ModelName model;      // what callers ask for
  std::string backend;  // the worker's name
};

struct Route {
  std::string backend;
  bool local = true;  // false: data leaves the building (none does yet)
};

class RouteTable {
 public:
  RouteTable() = default;
  // Code::already_exists when two backends claim one model.
  static Result<RouteTable> make(const std::vector<LocalModel>& models);

  // Local workers may serve every class. Code::not_found names the model.
  [[nodiscard]] Result<Route> route(const ModelName& model, DataClass data_class) const;
  // Sorted by name.
  [[nodiscard]] std::vector<ModelName> models() const;

 private:
  std::unordered_map<ModelName, Route> routes_;
};

}  // namespace deepmoat::policy
