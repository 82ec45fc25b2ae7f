// States of sequences saved in host memory: which slot holds what, and within which budget. The
// bytes themselves are the worker's; this is the account of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "scheduler/prefix_tree.h"
#include "scheduler/types.h"

namespace deepmoat::scheduler {

struct SavedState {
  PrefixTree::Line line = PrefixTree::kNoLine;
  std::uint32_t tokens = 0;
  bool partial = false;     // completes a copy (a checkpoint); else it stands alone
  bool ready = false;       // the worker has said that it is saved
  std::uint64_t bytes = 0;  // estimated until it is ready
  std::uint64_t last_used = 0;
  std::uint32_t uses = 0;
};

// Not thread-safe.
class HostStore {
 public:
  HostStore(std::uint64_t bytes_max, std::uint64_t token_bytes)
      : bytes_max_(bytes_max), token_bytes_(token_bytes) {}

  [[nodiscard]] bool enabled() const { return bytes_max_ > 0; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t bytes_max() const { return bytes_max_; }
  // By slot; those without a value are empty.
  [[nodiscard]] const std::vector<std::optional<SavedState>>& slots() const { return slots_; }
  // REQUIRES: the slot is in use.
  [[nodiscard]] SavedState& at(SlotId slot) { return *slots_[slot]; }
  [[nodiscard]] const SavedState& at(SlotId slot) const { return *slots_[slot]; }
  [[nodiscard]] bool is_ready(SlotId slot) const {
    return slot < slots_.size() && slots_[slot] && slots_[slot]->ready;
  }
  // Slots that the worker has not told about yet.
  [[nodiscard]] const std::vector<SlotId>& open_slots() const { return open_; }
  [[nodiscard]] bool is_full() const;  // no slot is empty

  // What a state will take, as far as can be known before.
  [[nodiscard]] std::uint64_t likely_bytes(std::uint32_t tokens, bool partial) const;
  // Takes the lowest empty slot: the worker may keep an array of them. REQUIRES: not is_full().
  SlotId open(const SavedState& state);
  void settle(SlotId slot, std::uint64_t bytes);  // REQUIRES: bytes > 0
  void close(SlotId slot);
  void touch(SlotId slot, std::uint64_t step);

  // The slot worth the least a byte: long unused, rarely used, cheap to compute again. Those not
  // yet ready stay, and so does `but`.
  [[nodiscard]] std::optional<SlotId> least_worth(std::uint64_t step,
                                                  std::optional<SlotId> but) const;

 private:
  std::uint64_t bytes_max_;
  std::uint64_t token_bytes_;
  std::uint64_t bytes_ = 0;
  std::uint64_t partial_bytes_ = 0;  // the largest checkpoint so far
  std::vector<std::optional<SavedState>> slots_;
  std::vector<SlotId> open_;
  std::size_t used_ = 0;
};

}  // namespace deepmoat::scheduler
