// Who runs: the adapter's turn, the order among those who wait, room for them, and who has to leave
// for another.
//
// A tenant alone may use every sequence. When another tenant's call comes that has nothing running
// and is not ahead in service, it takes the place of the youngest call of the tenant that is most
// ahead, as long as that one keeps another: so the first call of a quiet tenant never waits for a
// flood to end, nobody is left without, and nothing stands idle in reserve. What the preempted call
// computed stays in memory while there is room.
#include <algorithm>
#include <limits>
#include <utility>

#include "scheduler/stepper.h"

namespace deepmoat::scheduler {

namespace {

constexpr std::uint32_t kOvertakenMax = 64;  // then a call goes before those with longer prefixes,
                                             // and up a class

}  // namespace

// --- order ---

// Who was overtaken often enough moves up: no class waits for ever.
std::uint32_t Stepper::class_of(const Branch& branch) const {
  return branch.priority - std::min(branch.priority, branch.overtaken / kOvertakenMax);
}

Stepper::Turn Stepper::turn_of(const Branch& branch) const {
  const Tenant& tenant = s_.tenants.at(branch.tenant);
  Turn turn{class_of(branch), tenant.service, tenant.served, branch.order, branch.choice};
  const auto lent = lent_.find(branch.sequence);
  return branch.sequence >= 0 && lent != lent_.end() ? std::min(turn, lent->second) : turn;
}

// The best class; in it the tenants that are not ahead of the least served one there; of these
// those that run nothing yet; then who was overtaken too often, the longest prefix, arrival.
std::optional<std::size_t> Stepper::pick() const {
  std::uint32_t first_class = std::numeric_limits<std::uint32_t>::max();
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < s_.waiting.size(); ++i) {
    const std::uint32_t its_class = class_of(s_.waiting[i]);
    if (candidates_[i].skipped || its_class > first_class) {
      continue;
    }
    const double service = s_.tenants.at(s_.waiting[i].tenant).service;
    least = its_class < first_class ? service : std::min(least, service);
    first_class = its_class;
  }
  const auto rank = [&](std::size_t i) {
    const Branch& branch = s_.waiting[i];
    const Tenant& tenant = s_.tenants.at(branch.tenant);
    const std::uint32_t found = candidates_[i].match.tokens;
    return std::tuple(tenant.service > least + s_.config.fairness_slack, tenant.running > 0,
                      branch.overtaken < kOvertakenMax, ~found, i);
  };
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < s_.waiting.size(); ++i) {
    if (candidates_[i].skipped || class_of(s_.waiting[i]) != first_class) {
      continue;
    }
    if (!best || rank(i) < rank(*best)) {
      best = i;
    }
  }
  return best;
}

// --- adapters ---

// All rows of a batch use one adapter. Each gets a quantum of steps, in turn.
void Stepper::choose_adapter() {
  std::optional<AdapterId> next;   // the one after the current
  std::optional<AdapterId> first;  // of all
  bool goes_on = false;
  for (const Branch& branch : s_.running) {
    goes_on = goes_on || branch.adapter == s_.adapter;
    if (branch.adapter > s_.adapter) {
      next = std::min(next.value_or(branch.adapter), branch.adapter);
    }
    first = std::min(first.value_or(branch.adapter), branch.adapter);
  }
  if (!first || (goes_on && s_.adapter_steps < s_.config.adapter_quantum)) {
    return;
  }
  s_.adapter = next.value_or(*first);
  s_.adapter_steps = 0;
}

// --- room ---

void Stepper::make_room_for_answers() {
  for (;;) {
    memory_.hold_back(answers());
    if (memory_.free_cells(0)) {
      return;
    }
    const auto victim = find_victim(nullptr);
    if (!victim) {
      return;  // one branch alone always fits
    }
    preempt(*victim);
  }
}

std::uint32_t Stepper::answer_reserve(const Branch& branch) const {
  const auto drawn = static_cast<std::uint32_t>(branch.tokens.size()) - branch.prompt_tokens;
  return std::min(branch.max_tokens - drawn, s_.config.reserve_tokens);
}

// Whether memory has room for the branch beside what the others have reserved.
bool Stepper::has_room(const Branch& branch, const Match& found) const {
  if (!s_.config.share_cells || s_.running.empty()) {
    return true;  // every sequence has a whole context of its own; one branch alone always fits
  }
  std::uint64_t promised = s_.pool.pinned();
  for (const Branch& other : s_.running) {
    promised += other.reserved;
  }
  const std::uint64_t need = memory_.cells_needed(branch, found) +
                             static_cast<std::uint64_t>(branch.choices) * answer_reserve(branch);
  return promised + need + s_.config.watermark_cells <= s_.pool.total();
}

// Whether rows would be left for the branch after the prompts whose turn is before its own. If not
// there is no use in letting it in.
bool Stepper::has_rows(const Branch& branch) const {
  const Turn turn = turn_of(branch);
  const bool now = branch.adapter == s_.adapter;
  std::uint64_t before = now ? answers() : 0;
  for (const Branch& other : s_.running) {
    if (other.adapter == branch.adapter && !is_answer(other) && turn_of(other) < turn) {
      before += left_of(other);
    }
  }
  return before < budget_;
}

// --- preemption ---

// Without a candidate: memory is full, and somebody has to leave.
bool Stepper::may_preempt(const Branch& victim, const Branch* candidate) const {
  if (victim.started == s_.steps) {
    return false;  // its memory is not there yet
  }
  if (candidate == nullptr || class_of(victim) > class_of(*candidate)) {
    return true;
  }
  const Tenant& from = s_.tenants.at(victim.tenant);
  const Tenant& to = s_.tenants.at(candidate->tenant);
  return class_of(victim) == class_of(*candidate) && to.running == 0 && from.running > 1 &&
         to.service <= from.service + s_.config.fairness_slack;
}

// The lowest class, the tenant most ahead, the youngest; never the oldest of all.
std::optional<std::size_t> Stepper::find_victim(const Branch* candidate) const {
  std::optional<std::size_t> worst;
  const auto rank = [&](std::size_t i) {
    const Branch& branch = s_.running[i];
    return std::tuple(class_of(branch), s_.tenants.at(branch.tenant).service, i);
  };
  for (std::size_t i = 1; i < s_.running.size(); ++i) {
    if (may_preempt(s_.running[i], candidate) && (!worst || rank(i) > rank(*worst))) {
      worst = i;
    }
  }
  return worst;
}

// Takes a running branch out; it computes again later what is not in memory then. What it had drawn
// stays drawn. Returns its place among those who wait.
std::size_t Stepper::preempt(std::size_t index) {
  Branch victim = std::move(s_.running[index]);
  s_.running.erase(s_.running.begin() + static_cast<std::ptrdiff_t>(index));
  s_.tenants.at(victim.tenant).running -= victim.choices;
  memory_.release(victim, true);
  memory_.want(victim);
  plan_.preempted.push_back(victim.call);
  ++s_.counters.preemptions;
  const auto place = std::ranges::upper_bound(s_.waiting, victim, is_before) - s_.waiting.begin();
  s_.waiting.insert(s_.waiting.begin() + place, std::move(victim));
  if (!candidates_.empty()) {
    candidates_.insert(candidates_.begin() + place, Candidate{.match = {}, .skipped = true});
  }
  return static_cast<std::size_t>(place);
}

// --- admission ---

// Spares the search through all who wait when nobody can be let in.
bool Stepper::may_admit() const {
  if (s_.waiting.empty() || !plan_.preempted.empty()) {
    return false;
  }
  std::uint32_t lowest_class = 0;
  for (const Branch& branch : s_.running) {
    lowest_class = std::max(lowest_class, class_of(branch));
  }
  return s_.running_sequences() < s_.config.running_max ||
         std::ranges::any_of(
             s_.waiting,
             [&](const Branch& branch) {
               return class_of(branch) < lowest_class || s_.tenants.at(branch.tenant).running == 0;
             });
}

void Stepper::admit() {
  if (!may_admit()) {
    return;
  }
  candidates_.reserve(s_.waiting.size() + 1);
  for (const Branch& branch : s_.waiting) {
    candidates_.push_back({.match = memory_.match(branch)});
    candidates_.back().skipped = waits_for_another(branch, candidates_.back().match);
  }
  while (const auto index = pick()) {
    if (!try_to_admit(*index)) {
      return;
    }
  }
}

// Whether it is worth waiting for the prefix that another call computes. Who computes it then has
// the turn of the one who waits.
bool Stepper::waits_for_another(const Branch& branch, const Match& found) {
  if (found.coming < found.tokens + s_.config.wait_min) {
    return false;
  }
  const Turn turn = turn_of(branch);
  const auto lent = lent_.try_emplace(found.coming_from, turn).first;
  lent->second = std::min(lent->second, turn);
  return true;
}

// Leaves out, for this step, all whose turn is not before the branch's: no rows are left for them.
void Stepper::skip_from(const Branch& branch) {
  const Turn turn = turn_of(branch);
  for (std::size_t i = 0; i < s_.waiting.size(); ++i) {
    if (s_.waiting[i].adapter == branch.adapter && turn_of(s_.waiting[i]) >= turn) {
      candidates_[i].skipped = true;
    }
  }
}

// False: nobody else is let in in this step. There is no overtaking: whose turn it is gets the next
// room.
bool Stepper::try_to_admit(std::size_t index) {
  Candidate& candidate = candidates_[index];
  candidate.match = memory_.match(s_.waiting[index]);  // the ones before may have changed it
  const Match& found = candidate.match;
  if (waits_for_another(s_.waiting[index], found)) {
    candidate.skipped = true;
    return true;
  }
  if (!has_rows(s_.waiting[index])) {
    skip_from(s_.waiting[index]);
    return true;
  }
  const auto fits = [&] {
    const Branch& branch = s_.waiting[index];
    return s_.running_sequences() + branch.choices <= s_.config.running_max &&
           has_room(branch, candidates_[index].match);
  };
  if (!fits()) {
    const auto victim = find_victim(&s_.waiting[index]);
    if (!victim || !plan_.preempted.empty()) {
      return false;
    }
    index += preempt(*victim) <= index ? 1 : 0;
    candidates_[index].match = memory_.match(s_.waiting[index]);
    if (!fits()) {
      return false;
    }
  }
  start(index);
  return true;
}

void Stepper::start(std::size_t index) {
  const auto at = static_cast<std::ptrdiff_t>(index);
  const Match found = candidates_[index].match;
  Branch branch = std::move(s_.waiting[index]);
  s_.waiting.erase(s_.waiting.begin() + at);
  candidates_.erase(candidates_.begin() + at);
  for (std::size_t i = 0; i < index; ++i) {
    ++s_.waiting[i].overtaken;
  }
  memory_.start(branch, found);
  branch.started = s_.steps;
  const std::uint32_t computed = computed_of(s_, branch);
  branch.reserved = static_cast<std::uint32_t>(branch.tokens.size()) - computed +
                    branch.choices * answer_reserve(branch);
  s_.tenants.at(branch.tenant).running += branch.choices;
  CallState& call = s_.calls.at(branch.call);
  if (!std::exchange(call.admitted, true)) {
    --s_.queued;
    --s_.tenants.at(branch.tenant).queued;
    plan_.admitted.push_back({.call = branch.call, .cached_tokens = computed});
    s_.counters.prefix_queries += branch.prompt_tokens;
    s_.counters.prefix_hits += computed;
  }
  s_.running.insert(std::ranges::upper_bound(s_.running, branch, is_before), std::move(branch));
}

}  // namespace deepmoat::scheduler
