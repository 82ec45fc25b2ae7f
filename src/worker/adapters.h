// Which adapter, at which scale, a call runs with. Decode thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/model.h"
#include "scheduler/types.h"

namespace deepmoat::worker {

class AdapterTable {
 public:
  explicit AdapterTable(std::vector<engine::AdapterFile> adapters);

  // The id of an adapter at a scale, the same for the same two; 0 for no name. `scale` 0: the
  // adapter's own. Code::invalid_argument that names the adapters there are, or the scales.
  [[nodiscard]] Result<scheduler::AdapterId> id_of(const std::string& name, float scale);

  struct Use {
    std::optional<std::size_t> index;
    float scale = 0;
  };
  [[nodiscard]] Use use_of(scheduler::AdapterId id) const;

 private:
  std::vector<engine::AdapterFile> adapters_;
  std::map<std::pair<std::size_t, int>, scheduler::AdapterId> ids_;  // index, scale in steps
  std::vector<Use> uses_;                                            // by id
};

}  // namespace deepmoat::worker
