// Starting, growing, keeping and letting go. Matching lies in memory_match.cc, saved states in
// memory_host.cc.
#include "scheduler/memory.h"

#include <algorithm>
#include <utility>

namespace deepmoat::scheduler {

std::vector<Token> Memory::path(const Branch& branch, std::size_t tokens) const {
  return path_of(branch.adapter, branch.public_tokens, branch.salt,
                 std::span(branch.tokens).first(tokens));
}

void Memory::want(Branch& branch) {
  branch.line = s_.tree.add_want(path(branch, branch.tokens.size()));
}

void Memory::forget_want(Branch& branch) {
  s_.tree.remove(std::exchange(branch.line, PrefixTree::kNoLine));
}

// --- starting ---

void Memory::start(Branch& branch, const Match& found) {
  branch.restored.reset();
  branch.copied = -1;
  in_use_ = found.sequence;
  slot_in_use_ = found.slot;
  const bool taken = found.tokens > 0 && take(branch, found);
  in_use_ = -1;
  slot_in_use_.reset();
  if (!taken) {
    branch.sequence = take_sequence();
  }
  s_.tree.turn_into_source(branch.line, source_of(branch.sequence));
  const std::uint32_t computed = at(branch.sequence).computed;
  branch.charged = std::max(branch.charged, computed);
  branch.unit_begin = computed;
  branch.unit_end = 0;
}

// False: there is no room to do so.
bool Memory::take(Branch& branch, const Match& found) {
  if (found.slot) {
    return restore(branch, found);
  }
  const bool kept = at(found.sequence).use == Sequence::Use::kept;
  if (kept && should_take_over(found.sequence, found.tokens)) {
    take_over(branch, found.sequence, found.tokens);
    return true;
  }
  if (!has_spare_sequence()) {
    if (!kept || !shares_any_range()) {
      return false;
    }
    take_over(branch, found.sequence, found.tokens);  // it loses what the branch does not share
    return true;
  }
  if (!s_.config.share_cells && !free_cells(found.tokens)) {
    return false;
  }
  branch.sequence = take_sequence();
  copy(found.sequence, branch.sequence, found.tokens);
  branch.copied = found.sequence;
  return true;
}

// A model that can share ranges loses nothing when a branch grows out of a kept sequence. With
// others the kept state is gone then: it stays as long as it has proved useful.
bool Memory::should_take_over(SequenceId kept, std::uint32_t tokens) const {
  return at(kept).computed == tokens && (shares_any_range() || at(kept).uses == 0);
}

void Memory::take_over(Branch& branch, SequenceId kept, std::uint32_t tokens) {
  Sequence& sequence = at(kept);
  if (tokens < sequence.computed) {
    plan_.memory.push_back({.kind = MemoryOp::Kind::cut, .from = kept, .tokens = tokens});
    drop_cells(sequence, tokens);
  }
  for (const Cell cell : sequence.cells) {
    s_.pool.pin(cell);
  }
  s_.tree.remove(std::exchange(sequence.line, PrefixTree::kNoLine));
  sequence.use = Sequence::Use::running;
  sequence.computed = tokens;
  branch.sequence = kept;
}

void Memory::copy(SequenceId from, SequenceId to, std::uint32_t tokens) {
  plan_.memory.push_back({.kind = MemoryOp::Kind::copy, .from = from, .to = to, .tokens = tokens});
  Sequence& source = at(from);
  Sequence& made = at(to);
  if (s_.config.share_cells) {
    made.cells.assign(source.cells.begin(),
                      source.cells.begin() + static_cast<std::ptrdiff_t>(tokens));
    for (const Cell cell : made.cells) {
      s_.pool.add_ref(cell);
      s_.pool.pin(cell);
    }
  } else {
    take_cells(made, tokens);
  }
  made.computed = tokens;
  source.last_used = s_.steps;
  ++source.uses;
}

void Memory::fork(const Branch& from, Branch& to) {
  const std::uint32_t computed = at(from.sequence).computed;
  if (!s_.config.share_cells) {
    (void)free_cells(computed);  // every sequence has room for a whole context
  }
  to.sequence = take_sequence();
  copy(from.sequence, to.sequence, computed);
  to.line = s_.tree.add_source(path(to, to.tokens.size()), source_of(to.sequence));
}

void Memory::grow(Branch& branch, std::uint32_t count) {
  take_cells(at(branch.sequence), count);
  branch.reserved -= std::min(branch.reserved, count);
}

void Memory::start_over(Branch& branch) {
  Sequence& sequence = at(branch.sequence);
  for (const Cell cell : sequence.cells) {
    s_.pool.unpin(cell);
  }
  drop_cells(sequence, 0);
  sequence.computed = 0;
  plan_.memory.push_back({.kind = MemoryOp::Kind::drop, .from = branch.sequence});
  branch.unit_begin = 0;
  branch.unit_end = 0;
  ++s_.counters.lost;
  if (branch.started + 1 == s_.steps) {
    distrust_sources(branch);
  }
}

// What the branch was just given was not there: it takes nothing more, and nobody takes that again.
void Memory::distrust_sources(Branch& branch) {
  branch.shares = false;
  if (branch.restored && s_.host.is_ready(*branch.restored)) {
    forget(*branch.restored);
  }
  if (branch.copied >= 0 && at(branch.copied).use == Sequence::Use::kept) {
    let_go(branch.copied);
  }
}

// --- leaving ---

void Memory::release(Branch& branch, bool keep) {
  const SequenceId id = std::exchange(branch.sequence, -1);
  Sequence& sequence = at(id);
  for (const Cell cell : sequence.cells) {
    s_.pool.unpin(cell);
  }
  s_.tree.remove(std::exchange(branch.line, PrefixTree::kNoLine));
  branch.reserved = 0;
  branch.unit_end = 0;
  keep = keep && s_.config.sharing != Sharing::off && sequence.computed >= s_.config.shared_min;
  if (!keep) {
    free_sequence(id);
    return;
  }
  sequence.use = Sequence::Use::kept;
  sequence.line = s_.tree.add_source(path(branch, sequence.computed), source_of(id));
  sequence.last_used = s_.steps;
  sequence.uses = 0;
  drop_redundant(id);
  while (s_.cached_cells() > s_.config.cached_cells_max && let_go_least()) {
  }
}

// Lets go of kept sequences that offer nothing more than another one: of the new one, if so.
void Memory::drop_redundant(SequenceId kept) {
  const std::uint32_t tokens = at(kept).computed;
  std::vector<SequenceId> redundant;
  SequenceId better = -1;
  s_.tree.climb(at(kept).line, [&](const PrefixTree::Point& point) {
    for (const SourceId source : point.sources) {
      const auto other = static_cast<SequenceId>(source);
      if (slot_of(source) || other == kept || at(other).use != Sequence::Use::kept) {
        continue;
      }
      const bool same = at(other).computed == tokens;
      if (point.tokens == tokens && (same || shares_any_range())) {
        better = other;
      } else if (point.tokens == at(other).computed && shares_any_range()) {
        redundant.push_back(other);
      }
    }
    return better < 0;
  });
  if (better >= 0) {
    at(better).last_used = s_.steps;
    let_go(kept);
    return;
  }
  for (const SequenceId other : redundant) {
    let_go(other);
  }
}

void Memory::let_go(SequenceId kept) {
  if (at(kept).line != PrefixTree::kNoLine) {
    s_.tree.remove(std::exchange(at(kept).line, PrefixTree::kNoLine));
  }
  free_sequence(kept);
}

// Of the kept sequence worth the least: long unused, rarely used, cheap to compute again.
bool Memory::let_go_least() {
  SequenceId least = -1;
  double least_worth = 0;
  for (SequenceId id = 0; id < static_cast<SequenceId>(s_.sequences.size()); ++id) {
    const Sequence& sequence = at(id);
    if (sequence.use != Sequence::Use::kept || id == in_use_) {
      continue;
    }
    const double worth = static_cast<double>(sequence.computed) * (1 + sequence.uses) /
                         static_cast<double>(s_.steps - sequence.last_used + 1);
    if (least < 0 || worth < least_worth) {
      least = id;
      least_worth = worth;
    }
  }
  if (least < 0) {
    return false;
  }
  spill(least);
  let_go(least);
  ++s_.counters.evictions;
  return true;
}

// --- sequences and cells ---

bool Memory::free_cells(std::uint32_t count) {
  while (s_.pool.free() < count + held_back_) {
    if (!let_go_least()) {
      return false;
    }
  }
  return true;
}

bool Memory::has_spare_sequence() const {
  if (!s_.free_sequences.empty()) {
    return true;
  }
  for (SequenceId id = 0; id < static_cast<SequenceId>(s_.sequences.size()); ++id) {
    if (at(id).use == Sequence::Use::kept && id != in_use_) {
      return true;
    }
  }
  return false;
}

// REQUIRES: fewer than Config::sequences running, which admission sees to.
SequenceId Memory::take_sequence() {
  while (s_.free_sequences.empty() && let_go_least()) {
  }
  const SequenceId id = s_.free_sequences.back();
  s_.free_sequences.pop_back();
  at(id) = {.use = Sequence::Use::running};
  return id;
}

void Memory::free_sequence(SequenceId id) {
  drop_cells(at(id), 0);
  at(id) = {};
  plan_.memory.push_back({.kind = MemoryOp::Kind::drop, .from = id});
  s_.free_sequences.push_back(id);
}

void Memory::take_cells(Sequence& sequence, std::uint32_t count) {
  sequence.cells.reserve(sequence.cells.size() + count);
  for (std::uint32_t i = 0; i < count; ++i) {
    sequence.cells.push_back(s_.pool.take());
  }
}

// REQUIRES: the sequence has no pins on them.
void Memory::drop_cells(Sequence& sequence, std::size_t keep) {
  for (std::size_t i = keep; i < sequence.cells.size(); ++i) {
    s_.pool.drop_ref(sequence.cells[i]);
  }
  sequence.cells.resize(keep);
}

}  // namespace deepmoat::scheduler
