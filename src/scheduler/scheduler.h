// Continuous batching as a pure function: the same state and inputs always give the same plan.
//
// Each step has a token budget: running answers first (one row each), then chunks of prompts,
// oldest call first, one chunk a call (Sarathi-Serve, arXiv:2403.02310). A prompt that shares a
// prefix with a sequence that is in memory copies it; one that another call is just computing is
// waited for. Finished sequences stay as holders of their prefix until their cells or ids are
// needed, the longest unused first. A call is admitted when cells for its prompt and its answer (up
// to Config::reserve_tokens a choice) are there; answers that grow beyond that preempt the youngest
// call when memory runs out, never all. The oldest call always moves on, so every call ends.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/cell_pool.h"
#include "scheduler/types.h"

namespace deepmoat::scheduler {

// One choice of a call. Before the first token is drawn, choice 0 stands for all of them.
struct Branch {
  std::uint64_t call = 0;
  std::uint32_t choice = 0;
  std::uint64_t order = 0;  // of arrival
  std::string salt = {};
  std::vector<Token> tokens = {};  // prompt, then what was drawn
  std::uint32_t prompt_tokens = 0;
  std::uint32_t max_tokens = 0;  // of the answer, never 0
  std::uint32_t choices = 1;     // more than 1 until the others are forked off
  std::uint32_t reserved = 0;    // cells it may still take without asking
  std::uint32_t computed = 0;    // tokens in memory before this step's batch
  SequenceId sequence = -1;
  std::vector<Cell> cells = {};  // one a token, those of this step's batch included
};

// A finished sequence that keeps its prefix for later calls.
struct Holder {
  SequenceId sequence = -1;
  std::string salt = {};
  std::vector<Token> tokens = {};
  std::vector<Cell> cells = {};
  std::uint64_t last_used = 0;  // step number
};

struct CallState {
  std::uint32_t choices_left = 0;
  bool admitted = false;
};

// Everything that the scheduler knows. Plain data; change it through step() only.
struct State {
  explicit State(const Config& c);

  Config config;
  CellPool pool;
  std::deque<Branch> waiting;   // by order, then choice
  std::vector<Branch> running;  // by order, then choice
  std::vector<Holder> holders;
  std::vector<SequenceId> free_sequences;  // the last is taken next
  std::map<std::uint64_t, CallState> calls;
  std::uint64_t arrivals = 0;
  std::uint64_t steps = 0;
};

// Advances by one step. The plan must be carried out in full (memory operations, then the batch)
// and the drawn tokens handed in with the next step.
[[nodiscard]] Plan step(State& state, const Inputs& inputs);

// Whether the state is sound; else what is wrong. For tests.
[[nodiscard]] std::optional<std::string> find_inconsistency(const State& state);

}  // namespace deepmoat::scheduler
