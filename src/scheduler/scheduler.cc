// The order of a step. Memory operations come before the batch in every plan, so all that moves
// memory is decided before the first row is.
#include "scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "scheduler/stepper.h"

namespace deepmoat::scheduler {

namespace {

constexpr std::uint32_t kPromptRowsMin = 32;  // of a step, whatever the answers take

}  // namespace

State::State(const Config& c)
    : config(c),
      pool(c.share_cells ? c.cells : std::max(c.sequences, c.running_max) * c.context_tokens),
      host(c.sharing == Sharing::off ? 0 : c.host_bytes_max, c.cell_bytes) {
  config.sequences = std::max(config.sequences, config.running_max);
  config.step_tokens = std::max(config.step_tokens, config.running_max + kPromptRowsMin);
  config.context_tokens = std::min(config.context_tokens, pool.total());
  config.unit_tokens = std::max(config.unit_tokens, 1U);
  config.watermark_cells = std::min(config.watermark_cells, pool.total() / 2);
  sequences.resize(config.sequences);
  for (std::uint32_t i = config.sequences; i > 0; --i) {
    free_sequences.push_back(static_cast<SequenceId>(i - 1));
  }
}

std::uint32_t State::running_sequences() const {
  std::uint32_t count = 0;
  for (const Branch& branch : running) {
    count += branch.choices;
  }
  return count;
}

Stepper::Stepper(State& state, const Inputs& inputs)
    : s_(state), in_(inputs), memory_(state, plan_) {}

// Prompts always move on, however small the budget: others may wait for their prefix.
std::uint32_t Stepper::row_budget() const {
  const std::uint32_t least = static_cast<std::uint32_t>(s_.running.size()) + kPromptRowsMin;
  const std::uint32_t most = s_.config.step_tokens;
  return in_.step_tokens == 0 ? most : std::max(std::min(most, in_.step_tokens), least);
}

Plan Stepper::run() {
  ++s_.steps;
  s_.pace.note(in_.now_ms, std::exchange(s_.work, 0));
  memory_.settle_saves(in_.saved);
  for (const SequenceId sequence : in_.lost) {
    lose(sequence);
  }
  for (const std::uint64_t call : in_.cancels) {
    cancel(call);
  }
  for (const Sampled& sampled : in_.sampled) {
    fork(sampled);
  }
  for (const Sampled& sampled : in_.sampled) {
    accept(sampled);
  }
  for (const NewCall& call : in_.arrivals) {
    arrive(call);
  }
  refuse_late();
  memory_.save_units();
  budget_ = row_budget();
  choose_adapter();
  make_room_for_answers();
  admit();
  choose_adapter();  // when nothing ran before
  fill_batch();
  if (plan_.batch.empty() && !s_.running.empty()) {  // they wait for each other's cells
    if (const auto victim = find_victim(nullptr)) {
      preempt(*victim);
      fill_batch();
    }
  }
  plan_.adapter = s_.adapter;
  s_.adapter_steps += plan_.batch.empty() ? 0 : 1;
  for (const Branch& branch : s_.running) {
    Sequence& sequence = s_.sequences[static_cast<std::size_t>(branch.sequence)];
    sequence.computed = static_cast<std::uint32_t>(sequence.cells.size());
  }
  return std::move(plan_);
}

Plan step(State& state, const Inputs& inputs) {
  return Stepper(state, inputs).run();
}

}  // namespace deepmoat::scheduler
