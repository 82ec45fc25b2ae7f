// Recomputes from scratch what the scheduler keeps up to date, and compares.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "scheduler/scheduler.h"

namespace deepmoat::scheduler {

namespace {

std::optional<std::string> check_cells(const State& state) {
  const CellPool& pool = state.pool;
  std::vector<std::uint16_t> refs(pool.total());
  std::vector<std::uint16_t> pins(pool.total());
  for (const Sequence& sequence : state.sequences) {
    for (const Cell cell : sequence.cells) {
      ++refs[cell];
      pins[cell] += sequence.use == Sequence::Use::running ? 1 : 0;
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
  std::vector<std::uint32_t> owners(state.sequences.size());
  for (const SequenceId id : state.free_sequences) {
    ++owners[static_cast<std::size_t>(id)];
  }
  for (const Branch& branch : state.running) {
    ++owners[static_cast<std::size_t>(branch.sequence)];
  }
  std::size_t cached = 0;
  for (std::size_t i = 0; i < owners.size(); ++i) {
    const Sequence& sequence = state.sequences[i];
    const bool kept = sequence.use == Sequence::Use::kept;
    cached += kept ? 1 : 0;
    if (owners[i] + (kept ? 1 : 0) != 1) {
      return fmt::format("sequence {} has not one owner", i);
    }
    if (sequence.computed != sequence.cells.size()) {
      return fmt::format("sequence {} has {} tokens in {} cells", i, sequence.computed,
                         sequence.cells.size());
    }
    if (kept && state.tree.tokens(sequence.line) != sequence.computed) {
      return fmt::format("sequence {} is not in the tree as what it holds", i);
    }
  }
  const auto slots = std::ranges::count_if(state.host.slots(),
                                           [](const auto& saved) { return saved.has_value(); });
  const std::size_t lines =
      cached + state.running.size() + state.waiting.size() + static_cast<std::size_t>(slots);
  if (state.tree.lines() != lines || !state.tree.is_sound()) {
    return fmt::format("the tree has {} lines for {}", state.tree.lines(), lines);
  }
  return std::nullopt;
}

std::optional<std::string> check_branches(const State& state) {
  std::map<Tenants::Id, std::uint32_t> running;
  for (const Branch& branch : state.running) {
    running[branch.tenant] += branch.choices;
    if (computed_of(state, branch) > branch.tokens.size()) {
      return fmt::format("call {} computed {} of {} tokens", branch.call,
                         computed_of(state, branch), branch.tokens.size());
    }
    if (branch.tokens.size() > branch.prompt_tokens + branch.max_tokens) {
      return fmt::format("call {} is longer than it may be", branch.call);
    }
  }
  for (const auto& [tenant, sequences] : running) {
    if (state.tenants.at(tenant).running != sequences) {
      return fmt::format("tenant {} runs {} sequences", state.tenants.at(tenant).name, sequences);
    }
  }
  if (state.running_sequences() > state.config.running_max) {
    return fmt::format("{} sequences run", state.running_sequences());
  }
  for (const Branch& branch : state.waiting) {
    if (branch.sequence >= 0 || state.tree.tokens(branch.line) != branch.tokens.size()) {
      return fmt::format("call {} waits and holds memory, or is not in the tree", branch.call);
    }
  }
  return std::nullopt;
}

std::optional<std::string> check_queue(const State& state) {
  std::map<Tenants::Id, std::uint32_t> queued;
  std::map<Tenants::Id, std::uint32_t> calls;
  std::uint32_t all = 0;
  for (const auto& [id, call] : state.calls) {
    ++calls[call.tenant];
    queued[call.tenant] += call.admitted ? 0 : 1;
    all += call.admitted ? 0 : 1;
  }
  for (const auto& [tenant, count] : calls) {
    if (state.tenants.at(tenant).calls != count ||
        state.tenants.at(tenant).queued != queued[tenant]) {
      return fmt::format("tenant {} has {} calls", state.tenants.at(tenant).name, count);
    }
  }
  if (state.queued != all || all > state.config.queue_max) {
    return fmt::format("{} calls are queued", all);
  }
  return std::nullopt;
}

std::optional<std::string> check_host(const State& state) {
  std::uint64_t bytes = 0;
  for (const auto& saved : state.host.slots()) {
    bytes += saved ? saved->bytes : 0;
    if (saved && state.tree.tokens(saved->line) != saved->tokens) {
      return "a slot is not in the tree as what it holds";
    }
  }
  if (bytes != state.host.bytes() || bytes > state.host.bytes_max()) {
    return fmt::format("{} bytes of {} are saved", bytes, state.host.bytes_max());
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_inconsistency(const State& state) {
  for (const auto check : {check_cells, check_sequences, check_branches, check_queue, check_host}) {
    if (auto wrong = check(state)) {
      return wrong;
    }
  }
  return std::nullopt;
}

}  // namespace deepmoat::scheduler
