#include "scheduler/host_store.h"

#include <algorithm>

namespace deepmoat::scheduler {

SavedState* HostStore::find(SlotId slot) {
  const auto at = slots_.find(slot);
  return at == slots_.end() ? nullptr : &at->second;
}

const SavedState* HostStore::find(SlotId slot) const {
  const auto at = slots_.find(slot);
  return at == slots_.end() ? nullptr : &at->second;
}

std::uint64_t HostStore::likely_bytes(std::uint32_t tokens, bool partial) const {
  const std::uint64_t whole = tokens * token_bytes_;
  return partial && partial_bytes_ > 0 ? partial_bytes_ : whole;
}

SlotId HostStore::next_slot() const {
  SlotId next = 0;
  for (const auto& [slot, state] : slots_) {
    if (slot != next) {
      break;
    }
    ++next;
  }
  return next;
}

SlotId HostStore::open(SavedState state) {
  const SlotId slot = next_slot();
  state.bytes = likely_bytes(state.tokens, state.partial);
  bytes_ += state.bytes;
  slots_.emplace(slot, state);
  return slot;
}

void HostStore::settle(SlotId slot, std::uint64_t bytes) {
  SavedState& state = slots_.at(slot);
  bytes_ = bytes_ - state.bytes + bytes;
  state.bytes = bytes;
  state.ready = true;
  if (state.partial) {
    partial_bytes_ = std::max(partial_bytes_, bytes);
  }
}

void HostStore::close(SlotId slot) {
  const auto at = slots_.find(slot);
  bytes_ -= at->second.bytes;
  slots_.erase(at);
}

void HostStore::touch(SlotId slot, std::uint64_t step) {
  SavedState& state = slots_.at(slot);
  state.last_used = step;
  ++state.uses;
}

std::optional<SlotId> HostStore::least_worth(std::uint64_t step, std::optional<SlotId> but) const {
  std::optional<SlotId> least;
  double least_worth = 0;
  for (const auto& [slot, state] : slots_) {
    if (!state.ready || slot == but) {
      continue;
    }
    const double worth = static_cast<double>(state.tokens) * (1 + state.uses) /
                         static_cast<double>(step - state.last_used + 1) /
                         static_cast<double>(std::max<std::uint64_t>(state.bytes, 1));
    if (!least || worth < least_worth) {
      least = slot;
      least_worth = worth;
    }
  }
  return least;
}

}  // namespace deepmoat::scheduler
