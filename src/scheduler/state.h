// What the scheduler knows between two steps: plain data, changed by step() only.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/cell_pool.h"
#include "scheduler/host_store.h"
#include "scheduler/pace.h"
#include "scheduler/prefix_key.h"
#include "scheduler/prefix_tree.h"
#include "scheduler/tenants.h"
#include "scheduler/types.h"

namespace deepmoat::scheduler {

// One choice of a call. Before the first token is drawn, choice 0 stands for all of them.
struct Branch {
  std::uint64_t call = 0;
  std::uint32_t choice = 0;
  std::uint64_t order = 0;  // of arrival
  Tenants::Id tenant = 0;
  std::uint32_t priority = 0;
  AdapterId adapter = 0;
  Token salt = 0;  // its mark in the prefix tree
  std::uint32_t public_tokens = 0;
  std::vector<Token> tokens = {};         // prompt, then what was drawn
  std::vector<std::uint32_t> marks = {};  // ends of units within the prompt, rising
  std::uint32_t prompt_tokens = 0;
  std::uint32_t max_tokens = 0;  // of the answer, never 0
  std::uint32_t choices = 1;     // more than 1 until the others are forked off
  std::uint32_t charged = 0;     // so many first tokens are paid for: computed, or found
  std::uint32_t overtaken = 0;   // by so many calls that came later
  bool shares = true;            // false: take nothing over (what it took was not there)

  // In the prefix tree: a want while it waits (all of its tokens), a source while it runs.
  PrefixTree::Line line = PrefixTree::kNoLine;

  // While it runs.
  SequenceId sequence = -1;
  std::uint32_t reserved = 0;    // cells it may still take without asking
  std::uint32_t unit_end = 0;    // the last chunk ended a unit here, to be saved; 0: it did not
  std::uint32_t unit_begin = 0;  // the last place it was saved at, or began at
  std::optional<SlotId> restored = {};  // where it came from
  SequenceId copied = -1;
  std::uint64_t started = 0;  // step number
};

// One sequence of the engine.
struct Sequence {
  enum class Use : std::uint8_t { free, running, kept };
  Use use = Use::free;
  std::uint32_t computed = 0;    // tokens in it before this step's batch
  std::vector<Cell> cells = {};  // one a token; while a batch is planned, its tokens' too
  // A kept one holds what a finished or preempted branch computed, for those that begin alike.
  PrefixTree::Line line = PrefixTree::kNoLine;
  std::uint64_t last_used = 0;  // step number
  std::uint32_t uses = 0;
};

struct CallState {
  Tenants::Id tenant = 0;
  std::uint32_t choices_left = 0;
  std::uint64_t deadline_ms = 0;
  bool admitted = false;
};

struct State {
  explicit State(const Config& c);

  Config config;
  CellPool pool;
  PrefixTree tree;
  HostStore host;
  Tenants tenants;
  Pace pace;
  SaltMarks salts;
  std::deque<Branch> waiting;   // by order, then choice
  std::vector<Branch> running;  // by order, then choice
  std::vector<Sequence> sequences;
  std::vector<SequenceId> free_sequences;  // the last is taken next
  std::map<std::uint64_t, CallState> calls;
  AdapterId adapter = 0;            // of the last batch
  std::uint32_t adapter_steps = 0;  // that it has had in a row
  std::uint32_t queued = 0;         // calls that were never admitted
  std::uint64_t arrivals = 0;
  std::uint64_t steps = 0;
  std::uint64_t solo_step = 0;  // the last one that had newcomers' rows alone
  double work = 0;              // of the last plan, as Pace counts it
  Counters counters;

  // For figures; each is cheap.
  [[nodiscard]] std::uint32_t running_sequences() const;
  [[nodiscard]] std::uint32_t pinned_cells() const { return pool.pinned(); }
  [[nodiscard]] std::uint32_t cached_cells() const { return pool.used() - pool.pinned(); }
  [[nodiscard]] std::uint64_t host_bytes() const { return host.bytes(); }
};

// The tree's sources: sequences of the engine first, then slots.
[[nodiscard]] inline SourceId source_of(const State& state, SlotId slot) {
  return static_cast<SourceId>(state.sequences.size()) + slot;
}
[[nodiscard]] inline SourceId source_of(SequenceId sequence) {
  return static_cast<SourceId>(sequence);
}

// What of a branch is not in memory. REQUIRES: it runs.
[[nodiscard]] inline std::uint32_t computed_of(const State& state, const Branch& branch) {
  return state.sequences[static_cast<std::size_t>(branch.sequence)].computed;
}

// By order of arrival.
[[nodiscard]] inline bool is_before(const Branch& a, const Branch& b) {
  return a.order != b.order ? a.order < b.order : a.choice < b.choice;
}

}  // namespace deepmoat::scheduler
