// What came in since the last step: lost sequences, cancels, drawn tokens, new calls, the time.
#include <algorithm>
#include <utility>

#include "scheduler/stepper.h"

namespace deepmoat::scheduler {

namespace {

template <class List>
auto find_branch(List& list, std::uint64_t call, std::uint32_t choice) {
  return std::ranges::find_if(
      list, [&](const Branch& b) { return b.call == call && b.choice == choice; });
}

// Only marks that rise and lie within the prompt, with the end of the public part among them.
std::vector<std::uint32_t> unit_ends(const NewCall& call) {
  std::vector<std::uint32_t> marks;
  const auto add = [&](std::uint32_t mark) {
    if (mark > 0 && mark < call.prompt.size() && (marks.empty() || mark > marks.back())) {
      marks.push_back(mark);
    }
  };
  bool public_due = true;
  for (const std::uint32_t mark : call.marks) {
    if (public_due && call.public_tokens <= mark) {
      add(call.public_tokens);
      public_due = false;
    }
    add(mark);
  }
  if (public_due) {
    add(call.public_tokens);
  }
  return marks;
}

}  // namespace

void Stepper::lose(SequenceId sequence) {
  const auto branch = std::ranges::find(s_.running, sequence, &Branch::sequence);
  if (branch == s_.running.end()) {
    return;
  }
  memory_.start_over(*branch);
  branch->reserved =
      static_cast<std::uint32_t>(branch->tokens.size()) + branch->choices * answer_reserve(*branch);
}

void Stepper::end_call(std::uint64_t id) {
  const auto call = s_.calls.find(id);
  if (!call->second.admitted) {
    --s_.queued;
    --s_.tenants.at(call->second.tenant).queued;
  }
  s_.tenants.leave(call->second.tenant);
  s_.calls.erase(call);
}

void Stepper::cancel(std::uint64_t call) {
  if (!s_.calls.contains(call)) {
    return;  // finished meanwhile
  }
  plan_.cancelled.push_back(call);
  for (Branch& branch : s_.waiting) {
    if (branch.call == call) {
      memory_.forget_want(branch);
    }
  }
  std::erase_if(s_.waiting, [&](const Branch& b) { return b.call == call; });
  for (Branch& branch : s_.running) {
    if (branch.call == call) {
      s_.tenants.at(branch.tenant).running -= branch.choices;
      memory_.release(branch, true);
    }
  }
  std::erase_if(s_.running, [&](const Branch& b) { return b.call == call; });
  end_call(call);
}

// The first drawn tokens of a call with several choices split it into branches.
void Stepper::fork(const Sampled& sampled) {
  if (sampled.choice == 0) {
    return;
  }
  const auto base = find_branch(s_.running, sampled.call, 0);
  if (base == s_.running.end() || base->choices <= sampled.choice) {
    return;
  }
  Branch made{.call = base->call,
              .choice = sampled.choice,
              .order = base->order,
              .tenant = base->tenant,
              .priority = base->priority,
              .adapter = base->adapter,
              .salt = base->salt,
              .public_tokens = base->public_tokens,
              .tokens = base->tokens,
              .prompt_tokens = base->prompt_tokens,
              .max_tokens = base->max_tokens,
              .charged = base->charged,
              .overtaken = base->overtaken,
              .shares = base->shares,
              .started = s_.steps};
  made.reserved = std::min(base->reserved, answer_reserve(*base));
  base->reserved -= made.reserved;
  memory_.fork(*base, made);
  s_.running.insert(std::ranges::upper_bound(s_.running, made, is_before), std::move(made));
}

void Stepper::accept(const Sampled& sampled) {
  const auto branch = find_branch(s_.running, sampled.call, sampled.choice);
  if (branch == s_.running.end()) {
    return;  // cancelled meanwhile
  }
  branch->choices = 1;
  branch->tokens.push_back(sampled.token);
  s_.tenants.charge(branch->tenant, kAnswerService);
  const std::size_t drawn = branch->tokens.size() - branch->prompt_tokens;
  if (sampled.last || drawn >= branch->max_tokens) {
    finish_branch(branch);
  }
}

void Stepper::finish_branch(std::vector<Branch>::iterator branch) {
  const std::uint64_t id = branch->call;
  s_.pace.note_answer(static_cast<std::uint32_t>(branch->tokens.size()) - branch->prompt_tokens);
  --s_.tenants.at(branch->tenant).running;
  memory_.release(*branch, true);
  s_.running.erase(branch);
  if (--s_.calls.at(id).choices_left == 0) {
    end_call(id);
    plan_.finished.push_back(id);
  }
}

// --- new calls ---

void Stepper::arrive(const NewCall& call) {
  const auto why = reason_against(call);
  if (!why) {
    enqueue(call);
    return;
  }
  const bool queue_is_full =
      why == Refusal::Kind::queue_full || why == Refusal::Kind::tenant_queue_full;
  const Tenant* tenant = s_.tenants.find(call.tenant);
  const bool by_tenant = why == Refusal::Kind::tenant_queue_full && tenant != nullptr;
  plan_.refused.push_back({.call = call.call,
                           .kind = *why,
                           .prompt_tokens = static_cast<std::uint32_t>(call.prompt.size()),
                           .context_tokens = s_.config.context_tokens,
                           .waiting = by_tenant ? tenant->queued : s_.queued,
                           .retry_after_ms = queue_is_full ? retry_after_ms(call, *why) : 0});
}

std::optional<Refusal::Kind> Stepper::reason_against(const NewCall& call) const {
  const bool is_odd = call.prompt.empty() || call.choices == 0 ||
                      call.choices > s_.config.running_max || s_.calls.contains(call.call) ||
                      std::ranges::any_of(call.prompt, [](Token token) { return token < 0; });
  if (is_odd) {
    return Refusal::Kind::invalid;
  }
  if (in_.draining) {
    return Refusal::Kind::draining;
  }
  if (call.prompt.size() + std::max(call.max_tokens, 1U) > s_.config.context_tokens) {
    return Refusal::Kind::context_exceeded;
  }
  if (s_.queued >= s_.config.queue_max) {
    return Refusal::Kind::queue_full;
  }
  const Tenant* tenant = s_.tenants.find(call.tenant);
  const std::uint32_t tenant_max =
      call.tenant_queue_max > 0 ? call.tenant_queue_max : s_.config.tenant_queue_max;
  if (tenant != nullptr && tenant->queued >= tenant_max) {
    return Refusal::Kind::tenant_queue_full;
  }
  return std::nullopt;
}

void Stepper::enqueue(const NewCall& call) {
  const auto prompt = static_cast<std::uint32_t>(call.prompt.size());
  const std::uint32_t room = s_.config.context_tokens - prompt;
  Branch branch{.call = call.call,
                .order = s_.arrivals++,
                .tenant = s_.tenants.enter(call.tenant, call.weight),
                .priority = call.priority,
                .adapter = call.adapter,
                .salt = s_.salts.mark_of(call.salt),
                .public_tokens = call.public_tokens,
                .tokens = call.prompt,
                .marks = unit_ends(call),
                .prompt_tokens = prompt,
                .max_tokens = call.max_tokens == 0 ? room : call.max_tokens,
                .choices = call.choices};
  s_.calls[call.call] = {
      .tenant = branch.tenant, .choices_left = call.choices, .deadline_ms = call.deadline_ms};
  ++s_.queued;
  ++s_.tenants.at(branch.tenant).queued;
  memory_.want(branch);
  s_.waiting.push_back(std::move(branch));
}

// Calls that waited beyond their deadline. One that has begun is carried through.
void Stepper::refuse_late() {
  const std::size_t first = plan_.refused.size();
  for (std::size_t i = 0; i < s_.waiting.size();) {
    Branch& branch = s_.waiting[i];
    const CallState& call = s_.calls.at(branch.call);
    if (call.admitted || call.deadline_ms == 0 || in_.now_ms <= call.deadline_ms) {
      ++i;
      continue;
    }
    plan_.refused.push_back({.call = branch.call,
                             .kind = Refusal::Kind::deadline,
                             .prompt_tokens = branch.prompt_tokens,
                             .context_tokens = s_.config.context_tokens,
                             .waiting = s_.queued});
    memory_.forget_want(branch);
    end_call(branch.call);
    s_.waiting.erase(s_.waiting.begin() + static_cast<std::ptrdiff_t>(i));
  }
  // After all of them are gone: what still waits is what they would wait for.
  for (std::size_t i = first; i < plan_.refused.size(); ++i) {
    plan_.refused[i].retry_after_ms = time_for_all_ms();
  }
}

// --- when to come again ---

double Stepper::work_left(const Branch& branch, std::uint32_t computed) const {
  const std::size_t drawn = branch.tokens.size() - branch.prompt_tokens;
  const auto answer = static_cast<std::uint32_t>(branch.max_tokens - drawn);
  return kPromptService * static_cast<double>(branch.tokens.size() - computed) +
         kAnswerService * s_.pace.likely_answer(answer) * branch.choices;
}

void Stepper::count_queue() {
  if (std::exchange(queue_counted_, true)) {
    return;
  }
  for (const Branch& branch : s_.waiting) {
    queue_work_[branch.tenant] += work_left(branch, memory_.match(branch).tokens);
  }
  for (const Branch& branch : s_.running) {
    running_work_ += work_left(branch, computed_of(s_, branch));
  }
}

double Stepper::all_work() {
  count_queue();
  double everything = running_work_;
  for (const auto& [tenant, work] : queue_work_) {
    everything += work;
  }
  return everything;
}

// The time until what is queued now, and runs, will be done at the speed so far.
std::uint64_t Stepper::time_for_all_ms() {
  return s_.pace.ms_for(all_work());
}

// The same, but a tenant whose own queue is full gets its weight's share of that speed, or all of
// it where nobody else wants it.
std::uint64_t Stepper::retry_after_ms(const NewCall& call, Refusal::Kind why) {
  double everything = all_work();
  if (why == Refusal::Kind::tenant_queue_full) {
    const auto own = std::ranges::find_if(queue_work_, [&](const auto& entry) {
      return s_.tenants.at(entry.first).name == call.tenant;
    });
    if (own != queue_work_.end()) {
      const double share = s_.tenants.at(own->first).weight / s_.tenants.total_weight();
      everything = std::min(everything, own->second / share);
    }
  }
  return s_.pace.ms_for(everything);
}

}  // namespace deepmoat::scheduler
