// Drives the scheduler for tests: draws a token for every row that asks for one, reports every save
// as done, and notes what happened to whom.
#pragma once

#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/scheduler.h"

namespace deepmoat::scheduler {

[[nodiscard]] inline std::vector<Token> tokens_from(Token first, std::size_t count) {
  std::vector<Token> made(count);
  std::iota(made.begin(), made.end(), first);
  return made;
}

[[nodiscard]] inline std::vector<Token> joined(std::vector<Token> first,
                                               const std::vector<Token>& then) {
  first.insert(first.end(), then.begin(), then.end());
  return first;
}

[[nodiscard]] inline NewCall call_of(std::uint64_t id, std::vector<Token> prompt,
                                     std::uint32_t max_tokens = 8, std::string salt = "a") {
  return {.call = id,
          .tenant = salt,
          .salt = salt,
          .prompt = std::move(prompt),
          .max_tokens = max_tokens};
}

class Driver {
 public:
  explicit Driver(const Config& config) : state(config) {}

  // One step with these new calls, and what `inputs` holds besides.
  const Plan& tick(std::vector<NewCall> arrivals = {}) {
    inputs.arrivals = std::move(arrivals);
    inputs.now_ms = now_ms;
    plan = step(state, inputs);
    inputs = {};
    ++ticks;
    for (const Chunk& chunk : plan.batch) {
      now_ms += chunk.tokens.size() * row_ms;
      for (std::uint32_t i = 0; i < chunk.samples; ++i) {
        first_token.try_emplace(chunk.call, ticks);
        inputs.sampled.push_back(
            {.call = chunk.call, .choice = chunk.choice + i, .token = 7, .last = false});
      }
    }
    for (const MemoryOp& op : plan.memory) {
      if (op.kind == MemoryOp::Kind::save) {
        inputs.saved.push_back({.slot = op.slot, .bytes = op.tokens * state.config.cell_bytes + 1});
      }
    }
    for (const Admission& admission : plan.admitted) {
      cached[admission.call] = admission.cached_tokens;
      admitted.push_back(admission.call);
    }
    finished.insert(plan.finished.begin(), plan.finished.end());
    return plan;
  }

  void run_until_idle() {
    do {
      tick();
    } while (!state.calls.empty());
  }

  // The last plan's operations of a kind.
  [[nodiscard]] std::vector<MemoryOp> ops(MemoryOp::Kind kind) const {
    std::vector<MemoryOp> found;
    for (const MemoryOp& op : plan.memory) {
      if (op.kind == kind) {
        found.push_back(op);
      }
    }
    return found;
  }

  // Rows of the last plan's batch for a call.
  [[nodiscard]] std::size_t rows(std::uint64_t call) const {
    std::size_t count = 0;
    for (const Chunk& chunk : plan.batch) {
      count += chunk.call == call ? chunk.tokens.size() : 0;
    }
    return count;
  }

  State state;
  Plan plan;
  Inputs inputs;  // of the next step
  std::uint64_t now_ms = 1;
  std::uint64_t row_ms = 1;
  std::uint64_t ticks = 0;
  std::map<std::uint64_t, std::uint64_t> first_token;  // call: tick
  std::map<std::uint64_t, std::uint32_t> cached;       // call: tokens found at admission
  std::vector<std::uint64_t> admitted;
  std::set<std::uint64_t> finished;
};

}  // namespace deepmoat::scheduler
