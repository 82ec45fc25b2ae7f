// States saved in host memory: checkpoints of units, and what had to leave the engine's memory.
#include <algorithm>
#include <utility>

#include "scheduler/memory.h"

namespace deepmoat::scheduler {

namespace {

constexpr std::uint32_t kSavesPerStepMax = 4;  // each copies megabytes while answers wait

}  // namespace

bool Memory::restore(Branch& branch, const Match& found) {
  const SavedState saved = s_.host.at(*found.slot);
  if (!has_spare_sequence()) {
    return false;
  }
  const bool copies = found.sequence >= 0;
  if ((!copies || !s_.config.share_cells) && !free_cells(saved.tokens)) {
    return false;
  }
  branch.sequence = take_sequence();
  Sequence& sequence = at(branch.sequence);
  if (copies) {
    copy(found.sequence, branch.sequence, found.tokens);
  } else {
    take_cells(sequence, saved.tokens);
  }
  plan_.memory.push_back({.kind = MemoryOp::Kind::restore,
                          .to = branch.sequence,
                          .tokens = saved.tokens,
                          .slot = *found.slot,
                          .partial = saved.partial});
  if (found.tokens < saved.tokens) {
    plan_.memory.push_back(
        {.kind = MemoryOp::Kind::cut, .from = branch.sequence, .tokens = found.tokens});
    for (std::size_t i = found.tokens; i < sequence.cells.size(); ++i) {
      s_.pool.unpin(sequence.cells[i]);
    }
    drop_cells(sequence, found.tokens);
  }
  sequence.computed = found.tokens;
  branch.restored = found.slot;
  s_.host.touch(*found.slot, s_.steps);
  ++s_.counters.restores;
  return true;
}

void Memory::save_units() {
  for (Branch& branch : s_.running) {
    const std::uint32_t end = std::exchange(branch.unit_end, 0);
    const bool partial = s_.config.partial_checkpoints;
    if (end == 0 || end != at(branch.sequence).computed || is_saved(branch.line, end, partial)) {
      continue;
    }
    if (const auto slot = save(branch.sequence, end, partial)) {
      s_.host.at(*slot).line = s_.tree.add_source(path(branch, end), source_of(s_, *slot));
      branch.unit_begin = end;
      ++s_.counters.checkpoints;
    }
  }
}

// Moves a kept sequence's state to host memory, when that is worth it and there is room. Its line
// in the tree then stands for the saved state.
void Memory::spill(SequenceId kept) {
  Sequence& sequence = at(kept);
  const std::uint32_t tokens = sequence.computed;
  if (tokens < s_.config.wait_min || is_saved(sequence.line, tokens, false)) {
    return;
  }
  const auto slot = save(kept, tokens, false);
  if (!slot) {
    return;
  }
  const PrefixTree::Line line = std::exchange(sequence.line, PrefixTree::kNoLine);
  s_.tree.turn_into_source(line, source_of(s_, *slot));
  s_.host.at(*slot).line = line;
  ++s_.counters.spills;
  if (shares_any_range()) {
    forget_shorter(*slot);
  }
}

// Saved states that hold nothing which the slot does not.
void Memory::forget_shorter(SlotId slot) {
  std::vector<SlotId> shorter;
  s_.tree.climb(s_.host.at(slot).line, [&](const PrefixTree::Point& point) {
    for (const SourceId source : point.sources_ending) {
      const auto other = slot_of(source);
      if (other && other != slot && other != slot_in_use_ && s_.host.is_ready(*other)) {
        shorter.push_back(*other);
      }
    }
    return true;
  });
  for (const SlotId other : shorter) {
    forget(other);
  }
}

// Whether a saved state gives the first `tokens` of the line already.
bool Memory::is_saved(PrefixTree::Line line, std::uint32_t tokens, bool partial) const {
  bool saved = false;
  s_.tree.climb(line, [&](const PrefixTree::Point& point) {
    if (point.tokens < tokens) {
      return false;
    }
    for (const SourceId source : point.sources) {
      const auto slot = slot_of(source);
      const SavedState* state = slot ? &s_.host.at(*slot) : nullptr;
      saved = saved || (state != nullptr && state->partial == partial &&
                        (state->tokens == tokens || (shares_any_range() && !partial)));
    }
    return !saved;
  });
  return saved;
}

std::optional<SlotId> Memory::save(SequenceId from, std::uint32_t tokens, bool partial) {
  if (!s_.host.enabled() || saves_ >= kSavesPerStepMax ||
      !make_host_room(s_.host.likely_bytes(tokens, partial))) {
    return std::nullopt;
  }
  ++saves_;
  const SlotId slot = s_.host.open({.tokens = tokens, .partial = partial, .last_used = s_.steps});
  plan_.memory.push_back({.kind = MemoryOp::Kind::save,
                          .from = from,
                          .tokens = tokens,
                          .slot = slot,
                          .partial = partial});
  return slot;
}

bool Memory::make_host_room(std::uint64_t bytes) {
  if (bytes > s_.host.bytes_max()) {
    return false;
  }
  while (s_.host.bytes() + bytes > s_.host.bytes_max() || s_.host.is_full()) {
    const auto least = s_.host.least_worth(s_.steps, slot_in_use_);
    if (!least) {
      return false;
    }
    forget(*least);
  }
  return true;
}

void Memory::forget(SlotId slot) {
  plan_.memory.push_back({.kind = MemoryOp::Kind::forget, .slot = slot});
  close(slot);
}

void Memory::close(SlotId slot) {
  s_.tree.remove(s_.host.at(slot).line);
  s_.host.close(slot);
}

void Memory::settle_saves(std::span<const Saved> saved) {
  const std::vector<SlotId> open = s_.host.open_slots();
  for (const SlotId slot : open) {
    const auto told = std::ranges::find(saved, slot, &Saved::slot);
    if (told == saved.end()) {
      forget(slot);
    } else if (told->bytes == 0) {
      close(slot);
    } else {
      s_.host.settle(slot, told->bytes);
    }
  }
  (void)make_host_room(0);  // some may have turned out larger than thought
}

}  // namespace deepmoat::scheduler
