#include "scheduler/host_store.h"

#include <algorithm>

namespace deepmoat::scheduler {

namespace {

constexpr std::size_t kSlotsMax = 1024;

}  // namespace

std::uint64_t HostStore::likely_bytes(std::uint32_t tokens, bool partial) const {
  const std::uint64_t whole = tokens * token_bytes_;
  return partial && partial_bytes_ > 0 ? partial_bytes_ : whole;
}

bool HostStore::is_full() const {
  return used_ >= kSlotsMax;
}

SlotId HostStore::open(const SavedState& state) {
  const auto empty =
      std::ranges::find_if(slots_, [](const auto& kept) { return !kept.has_value(); });
  const auto slot = static_cast<SlotId>(empty - slots_.begin());
  if (empty == slots_.end()) {
    slots_.emplace_back();
  }
  slots_[slot] = state;
  slots_[slot]->bytes = likely_bytes(state.tokens, state.partial);
  bytes_ += slots_[slot]->bytes;
  open_.push_back(slot);
  ++used_;
  return slot;
}

void HostStore::settle(SlotId slot, std::uint64_t bytes) {
  SavedState& state = at(slot);
  bytes_ = bytes_ - state.bytes + bytes;
  state.bytes = bytes;
  state.ready = true;
  std::erase(open_, slot);
  if (state.partial) {
    partial_bytes_ = std::max(partial_bytes_, bytes);
  }
}

void HostStore::close(SlotId slot) {
  bytes_ -= at(slot).bytes;
  slots_[slot].reset();
  std::erase(open_, slot);
  --used_;
}

void HostStore::touch(SlotId slot, std::uint64_t step) {
  at(slot).last_used = step;
  ++at(slot).uses;
}

std::optional<SlotId> HostStore::least_worth(std::uint64_t step, std::optional<SlotId> but) const {
  std::optional<SlotId> least;
  double least_worth = 0;
  for (SlotId slot = 0; slot < slots_.size(); ++slot) {
    if (!is_ready(slot) || slot == but) {
      continue;
    }
    const SavedState& state = at(slot);
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
