#include "worker/adapters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace deepmoat::worker {

namespace {

constexpr float kScaleStep = 0.01F;  // finer scales would share no batch and no prefix
constexpr float kScaleMax = 4;

}  // namespace

AdapterTable::AdapterTable(std::vector<engine::AdapterFile> adapters)
    : adapters_(std::move(adapters)), uses_{{}} {}

Result<scheduler::AdapterId> AdapterTable::id_of(const std::string& name, float scale) {
  if (name.empty()) {
    return 0;
  }
  const auto found = std::ranges::find(adapters_, name, &engine::AdapterFile::name);
  if (found == adapters_.end()) {
    std::string names;
    for (const engine::AdapterFile& adapter : adapters_) {
      names += (names.empty() ? "" : ", ") + adapter.name;
    }
    return fail(Code::invalid_argument,
                fmt::format("adapter: this model has no adapter {:?}; it has {}", name,
                            names.empty() ? "none" : names));
  }
  const float wanted = scale == 0 ? found->scale : scale;
  if (!std::isfinite(wanted) || std::abs(wanted) > kScaleMax) {
    return fail(Code::invalid_argument,
                fmt::format("adapter_scale: from {} to {}", -kScaleMax, kScaleMax));
  }
  const auto index = static_cast<std::size_t>(found - adapters_.begin());
  const int steps = static_cast<int>(std::lround(wanted / kScaleStep));
  const auto [entry, fresh] =
      ids_.try_emplace({index, steps}, static_cast<scheduler::AdapterId>(uses_.size()));
  if (fresh) {
    uses_.push_back({index, static_cast<float>(steps) * kScaleStep});
  }
  return entry->second;
}

AdapterTable::Use AdapterTable::use_of(scheduler::AdapterId id) const {
  return uses_.at(id);
}

}  // namespace deepmoat::worker
