// Continuous batching as a pure function: the same state and inputs always give the same plan.
//
// Each step has a token budget: running answers first (one row each), then chunks of prompts, one a
// call (Sarathi-Serve, arXiv:2403.02310). Who is admitted, and whose prompt gets the rows, goes by
// priority class, then by tenants' service (VTC, arXiv:2401.00588), then by the longest prefix in
// memory (DLPM, arXiv:2501.14312), then by arrival.
//
// The first prompt of a tenant that had nothing running gets a step to itself, so that its first
// token does not wait for a step full of others' rows.
//
// A prompt that begins like something in memory takes that over; like something that another call
// is just computing, it waits for it. Finished sequences are kept until their cells or ids are
// needed, and go to host memory first where there is room. A call is admitted when cells for its
// prompt and its answer (up to Config::reserve_tokens a choice) are there; answers that grow beyond
// that preempt one call when memory runs out, never all. The oldest running call is never
// preempted, so every call ends.
//
// Parts: prefix_tree (who begins alike), tenants (who goes first), memory (what lies where, what
// can be taken over, what goes), host_store (saved states), stepper (the order of a step).
#pragma once

#include <optional>
#include <string>

#include "scheduler/state.h"
#include "scheduler/types.h"

namespace deepmoat::scheduler {

// Advances by one step. The plan must be carried out in full (memory operations, then the batch)
// and the drawn tokens handed in with the next step.
[[nodiscard]] Plan step(State& state, const Inputs& inputs);

// Whether the state is sound; else what is wrong. For tests.
[[nodiscard]] std::optional<std::string> find_inconsistency(const State& state);

}  // namespace deepmoat::scheduler
