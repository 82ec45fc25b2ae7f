// The rows of a step: answers first, then a chunk of each prompt whose turn it is.
#include <algorithm>
#include <limits>
#include <utility>

#include "scheduler/stepper.h"

namespace deepmoat::scheduler {

std::uint32_t Stepper::left_of(const Branch& branch) const {
  return static_cast<std::uint32_t>(branch.tokens.size()) - computed_of(s_, branch);
}

bool Stepper::is_answer(const Branch& branch) const {
  return branch.tokens.size() > branch.prompt_tokens && left_of(branch) == 1;
}

// Rows that the running answers take in this step.
std::uint32_t Stepper::answers() const {
  return static_cast<std::uint32_t>(std::ranges::count_if(s_.running, [&](const Branch& branch) {
    return branch.adapter == s_.adapter && is_answer(branch);
  }));
}

// Whose tenant has nothing else running or waiting, and no token yet.
bool Stepper::is_newcomer(const Branch& branch) const {
  const Tenant& tenant = s_.tenants.at(branch.tenant);
  return branch.adapter == s_.adapter && branch.tokens.size() == branch.prompt_tokens &&
         tenant.running == branch.choices && tenant.queued == 0;
}

// A newcomer whose prompt ends within one step gets that step to itself, together with others like
// it: its first token waits for nobody's rows. What runs stands still for as long, so there are
// never two such steps in a row, none where nothing would be left out, and none before a better
// class.
bool Stepper::fill_with_newcomers() {
  if (s_.solo_step + 1 == s_.steps) {
    return false;
  }
  std::uint32_t best_class = std::numeric_limits<std::uint32_t>::max();
  for (const Branch& branch : s_.running) {
    best_class = branch.adapter == s_.adapter ? std::min(best_class, class_of(branch)) : best_class;
  }
  std::vector<std::pair<Turn, std::size_t>> newcomers;
  for (std::size_t i = 0; i < s_.running.size(); ++i) {
    if (class_of(s_.running[i]) == best_class && is_newcomer(s_.running[i])) {
      newcomers.emplace_back(turn_of(s_.running[i]), i);
    }
  }
  if (newcomers.size() == s_.running.size()) {
    return false;
  }
  std::ranges::sort(newcomers);
  std::uint32_t rows = in_.solo_tokens == 0 ? s_.config.step_tokens
                                            : std::min(in_.solo_tokens, s_.config.step_tokens);
  for (const auto& [turn, i] : newcomers) {
    Branch& branch = s_.running[i];
    const std::uint32_t left = left_of(branch);
    const auto end = static_cast<std::uint32_t>(branch.tokens.size());
    if (left <= rows && memory_.chunk_end(branch, end) == end && memory_.free_cells(left)) {
      budget_ = std::max(budget_, left);
      add_chunk(branch, end, false);
      rows -= left;
    }
  }
  if (plan_.batch.empty()) {
    return false;
  }
  s_.solo_step = s_.steps;
  return true;
}

void Stepper::fill_batch() {
  memory_.hold_back(0);
  if (fill_with_newcomers()) {
    return;
  }
  std::vector<std::pair<Turn, std::size_t>> prompts;
  for (std::size_t i = 0; i < s_.running.size(); ++i) {
    Branch& branch = s_.running[i];
    if (branch.adapter != s_.adapter) {
      continue;
    }
    if (!is_answer(branch)) {
      prompts.emplace_back(turn_of(branch), i);
    } else if (budget_ > 0 && memory_.free_cells(1)) {
      add_chunk(branch, computed_of(s_, branch) + 1, true);
    }
  }
  std::ranges::sort(prompts);
  for (const auto& [turn, i] : prompts) {
    Branch& branch = s_.running[i];
    std::uint32_t rows = std::min(left_of(branch), budget_);
    if (!memory_.free_cells(rows)) {
      rows = std::min(rows, s_.pool.free());
    }
    if (rows > 0) {
      add_chunk(branch, memory_.chunk_end(branch, computed_of(s_, branch) + rows), false);
    }
  }
}

void Stepper::add_chunk(Branch& branch, std::uint32_t end, bool decode) {
  const std::uint32_t from = computed_of(s_, branch);
  const std::uint32_t count = end - from;
  memory_.grow(branch, count);
  memory_.note_chunk(branch, end);
  const auto first = branch.tokens.begin() + from;
  plan_.batch.push_back({.call = branch.call,
                         .choice = branch.choice,
                         .sequence = branch.sequence,
                         .position = from,
                         .tokens = std::vector<Token>(first, first + count),
                         .samples = end == branch.tokens.size() ? branch.choices : 0,
                         .decode = decode});
  budget_ -= count;
  s_.work += decode ? kAnswerService : kPromptService * count;
  if (!decode) {
    s_.tenants.at(branch.tenant).served = s_.steps;
  }
  if (!decode && end > branch.charged) {  // answers are paid for when they are drawn
    const std::uint32_t unpaid = end - std::max(branch.charged, from);
    s_.tenants.charge(branch.tenant, kPromptService * unpaid);
    branch.charged = end;
  }
}

}  // namespace deepmoat::scheduler
