// Recomputes from scratch what the scheduler keeps up to date, and compares.
#include <fmt/format.h>

#include <set>

#include "scheduler/scheduler.h"

namespace deepmoat::scheduler {

namespace {

std::optional<std::string> check_cells(const State& state) {
  const CellPool& pool = state.pool;
  std::vector<std::uint16_t> refs(pool.total());
  std::vector<std::uint16_t> pins(pool.total());
  for (const Branch& branch : state.running) {
    for (const Cell cell : branch.cells) {
      ++refs[cell];
      ++pins[cell];
    }
  }
  for (const Holder& holder : state.holders) {
    for (const Cell cell : holder.cells) {
      ++refs[cell];
    }
  }
  if (refs != pool.refs() || pins != pool.pins()) {
    return "reference counts do not match the owners";
  }
  std::uint32_t used = 0;
  std::uint32_t pinned = 0;
  for (std::uint32_t i = 0; i < pool.total(); ++i) {
    used += refs[i] > 0 ? 1 : 0;
    pinned += pins[i] > 0 ? 1 : 0;
  }
  if (used + pool.free() != pool.total() || pinned != pool.pinned()) {
    return fmt::format("{} used + {} free is not {}", used, pool.free(), pool.total());
  }
  return std::nullopt;
}

std::optional<std::string> check_sequences(const State& state) {
  std::set<SequenceId> seen(state.free_sequences.begin(), state.free_sequences.end());
  std::size_t count = state.free_sequences.size();
  for (const Branch& branch : state.running) {
    seen.insert(branch.sequence);
    ++count;
  }
  for (const Holder& holder : state.holders) {
    seen.insert(holder.sequence);
    ++count;
    if (holder.cells.size() != holder.tokens.size()) {
      return "a holder's cells are not its tokens";
    }
  }
  if (count != state.config.sequences || seen.size() != count) {
    return fmt::format("{} of {} sequence ids have one owner", seen.size(), state.config.sequences);
  }
  return std::nullopt;
}

std::optional<std::string> check_branches(const State& state) {
  std::uint32_t sequences = 0;
  for (const Branch& branch : state.running) {
    sequences += branch.choices;
    if (branch.computed != branch.cells.size() || branch.computed > branch.tokens.size()) {
      return fmt::format("call {} computed {} of {} tokens in {} cells", branch.call,
                         branch.computed, branch.tokens.size(), branch.cells.size());
    }
    if (branch.tokens.size() > branch.prompt_tokens + branch.max_tokens) {
      return fmt::format("call {} is longer than it may be", branch.call);
    }
  }
  if (sequences > state.config.running_max) {
    return fmt::format("{} sequences run", sequences);
  }
  for (const Branch& branch : state.waiting) {
    if (branch.sequence >= 0 || !branch.cells.empty()) {
      return fmt::format("call {} waits and holds memory", branch.call);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_inconsistency(const State& state) {
  if (auto wrong = check_cells(state)) {
    return wrong;
  }
  if (auto wrong = check_sequences(state)) {
    return wrong;
  }
  return check_branches(state);
}

}  // namespace deepmoat::scheduler
