// What of a waiting prompt lies in memory, and where prompts are cut so that others can begin
// there.
//
// Models with plain or compressed attention give any range. Of the others only a state as a whole
// can be taken over: that of a sequence which holds exactly the tokens wanted, or a checkpoint
// saved there. So their prompts are computed in units, as DeepSeek's own service does it: a chunk
// ends where a message ends, where a waiting prompt parts, each so many tokens, and at the end.
#include <algorithm>

#include "scheduler/memory.h"

namespace deepmoat::scheduler {

struct Memory::Found {
  Match best = {};
  std::uint32_t saved_tokens = 0;  // the best saved state that stands alone, for ranges
  std::optional<SlotId> saved = {};
};

std::optional<SlotId> Memory::slot_of(SourceId source) const {
  const auto sequences = static_cast<SourceId>(s_.sequences.size());
  return source < sequences ? std::nullopt : std::optional(source - sequences);
}

Match Memory::match(const Branch& branch) const {
  if (s_.config.sharing == Sharing::off || !branch.shares) {
    return {};
  }
  Found found;
  // The last token is computed always: its logits are needed.
  const auto usable = static_cast<std::uint32_t>(branch.tokens.size()) - 1;
  s_.tree.climb(branch.line, [&](const PrefixTree::Point& point) {
    const std::uint32_t shared = std::min(point.tokens, usable);
    if (shared <= found.best.tokens || shared < s_.config.shared_min) {
      return false;
    }
    if (shares_any_range()) {
      look_for_range(point, shared, found);
    } else {
      look_for_whole(point, usable, found);
    }
    return true;
  });
  Match& best = found.best;
  if (found.saved && found.saved_tokens >= best.tokens + s_.config.wait_min) {
    best.tokens = found.saved_tokens;
    best.sequence = -1;
    best.slot = found.saved;
  }
  if (best.tokens < s_.config.shared_min) {
    best.tokens = 0;
    best.sequence = -1;
    best.slot.reset();
  }
  return best;
}

void Memory::note_coming(SequenceId id, std::uint32_t shared, Match& best) const {
  const Sequence& sequence = at(id);
  if (sequence.use == Sequence::Use::running && sequence.computed < shared &&
      shared > best.coming) {
    best.coming = shared;
    best.coming_from = id;
  }
}

void Memory::look_for_range(const PrefixTree::Point& point, std::uint32_t shared,
                            Found& found) const {
  for (const SourceId source : point.sources) {
    if (const auto slot = slot_of(source)) {
      if (shared > found.saved_tokens && s_.host.is_ready(*slot)) {
        found.saved_tokens = shared;
        found.saved = slot;
      }
      continue;
    }
    const auto id = static_cast<SequenceId>(source);
    const std::uint32_t ready = std::min(shared, at(id).computed);
    if (ready > found.best.tokens) {
      found.best.tokens = ready;
      found.best.sequence = id;
    }
    if (ready == shared) {
      return;  // there is nothing better, here or above
    }
    note_coming(id, shared, found.best);
  }
}

void Memory::look_for_whole(const PrefixTree::Point& point, std::uint32_t usable,
                            Found& found) const {
  Match& best = found.best;
  const std::uint32_t shared = std::min(point.tokens, usable);
  for (const SourceId source : point.sources) {
    if (slot_of(source)) {
      continue;
    }
    const auto id = static_cast<SequenceId>(source);
    const std::uint32_t computed = at(id).computed;
    if (computed <= shared && computed > best.tokens) {
      best.tokens = computed;
      best.sequence = id;
      best.slot.reset();
      if (computed == shared) {
        return;  // there is nothing better, here or above
      }
    }
    note_coming(id, shared, best);
  }
  if (point.tokens > usable || point.tokens <= best.tokens) {
    return;
  }
  for (const SourceId source : point.sources_ending) {
    const auto slot = slot_of(source);
    if (!slot || !s_.host.is_ready(*slot)) {
      continue;
    }
    const bool partial = s_.host.at(*slot).partial;
    const SequenceId base = partial ? holder_of(point, point.tokens) : -1;
    if (!partial || base >= 0) {
      best.tokens = point.tokens;
      best.sequence = base;
      best.slot = slot;
    }
  }
}

// A sequence that goes through the point and holds all of it, -1: none.
SequenceId Memory::holder_of(const PrefixTree::Point& point, std::uint32_t tokens) const {
  for (const SourceId source : point.sources) {
    if (!slot_of(source) && at(static_cast<SequenceId>(source)).computed >= tokens) {
      return static_cast<SequenceId>(source);
    }
  }
  return -1;
}

std::uint32_t Memory::cells_needed(const Branch& branch, const Match& found) const {
  auto needed = static_cast<std::uint32_t>(branch.tokens.size());
  if (found.sequence < 0 || !s_.config.share_cells) {
    return needed;
  }
  const std::vector<Cell>& cells = at(found.sequence).cells;
  for (std::uint32_t i = 0; i < found.tokens; ++i) {
    needed -= s_.pool.is_pinned(cells[i]) ? 1 : 0;
  }
  return needed;
}

// --- units ---

// The first place after `from` where a prompt that waits would begin; a high number: none.
std::uint32_t Memory::wanted_stop(const Branch& branch, std::uint32_t from) const {
  const std::uint32_t least = std::max(s_.config.shared_min, s_.config.wait_min);
  std::uint32_t stop = ~0U;
  std::uint32_t wants_beyond = 0;
  s_.tree.climb(branch.line, [&](const PrefixTree::Point& point) {
    if (point.tokens <= from || point.tokens < least) {
      return false;
    }
    if (point.wants - wants_beyond > point.wants_ending) {
      stop = point.tokens;  // one parts here
    }
    if (point.wants_ending > 0 && point.tokens > from + 1) {
      stop = point.tokens - 1;  // one ends here: its last token is its own
    }
    wants_beyond = point.wants;
    return true;
  });
  return stop;
}

std::uint32_t Memory::chunk_end(const Branch& branch, std::uint32_t end) const {
  if (!shares_whole()) {
    return end;
  }
  const std::uint32_t from = at(branch.sequence).computed;
  const std::uint32_t wanted = wanted_stop(branch, from);
  if (wanted <= end || !s_.host.enabled()) {
    return std::min(wanted, end);
  }
  // The last unit that fits: the fewer chunks the better.
  std::uint32_t unit = 0;
  for (const std::uint32_t mark : branch.marks) {
    unit = mark <= end ? mark : unit;
  }
  const std::uint32_t last_step = end / s_.config.unit_tokens * s_.config.unit_tokens;
  unit = std::max(unit, last_step);
  return unit >= from + s_.config.wait_min ? unit : end;
}

void Memory::note_chunk(Branch& branch, std::uint32_t end) const {
  if (!shares_whole() || !s_.host.enabled() || end > s_.tree.tokens(branch.line)) {
    return;
  }
  const bool wanted = wanted_stop(branch, end - 1) == end;
  const bool ends_unit = end % s_.config.unit_tokens == 0 || end == branch.tokens.size() ||
                         std::ranges::binary_search(branch.marks, end);
  const bool worth_it = end >= branch.unit_begin + s_.config.wait_min;
  branch.unit_end = wanted || (ends_unit && worth_it) ? end : 0;
}

}  // namespace deepmoat::scheduler
