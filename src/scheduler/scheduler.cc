// The order of a step: cancels, drawn tokens, arrivals, answers' rows, prompts' chunks, admissions.
#include "scheduler/scheduler.h"

#include <algorithm>
#include <utility>

namespace deepmoat::scheduler {

namespace {

constexpr std::uint32_t kPromptRowsMin = 32;  // of a step, whatever the answers take

std::uint32_t common_prefix(const std::vector<Token>& a, std::size_t a_tokens,
                            const std::vector<Token>& b, std::size_t b_tokens) {
  const std::size_t limit = std::min(a_tokens, b_tokens);
  const auto end =
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(limit), b.begin());
  return static_cast<std::uint32_t>(end.first - a.begin());
}

bool before(const Branch& a, const Branch& b) {
  return a.order != b.order ? a.order < b.order : a.choice < b.choice;
}

// Where a waiting branch can get its prefix from.
struct PrefixMatch {
  std::uint32_t tokens = 0;  // in memory already
  std::ptrdiff_t holder = -1;
  std::ptrdiff_t branch = -1;
  std::uint32_t coming = 0;  // will be in memory when a running prompt is through
};

// One step's work on the state; lives for one call of step().
class Stepper {
 public:
  Stepper(State& state, const Inputs& inputs) : s_(state), in_(inputs) {
    budget_ = s_.config.step_tokens;
    if (in_.step_tokens > 0) {
      budget_ = std::min(budget_, in_.step_tokens);
    }
    // Prompts always move on, however small the budget: others may wait for their prefix.
    budget_ = std::max(budget_, static_cast<std::uint32_t>(s_.running.size()) + kPromptRowsMin);
  }

  Plan run() {
    ++s_.steps;
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
    plan_decodes();
    plan_prompts();
    if (plan_.preempted.empty()) {
      admit();
    }
    for (Branch& branch : s_.running) {
      branch.computed = static_cast<std::uint32_t>(branch.cells.size());
    }
    return std::move(plan_);
  }

 private:
  // --- sequences and cells ---

  void drop_sequence(SequenceId sequence) {
    plan_.memory.push_back({.kind = MemoryOp::Kind::drop, .from = sequence});
    s_.free_sequences.push_back(sequence);
  }

  void drop_holder(const Holder& holder) {
    for (const Cell cell : holder.cells) {
      s_.pool.drop_ref(cell);
    }
    drop_sequence(holder.sequence);
  }

  void evict(std::size_t index) {
    drop_holder(s_.holders[index]);
    s_.holders.erase(s_.holders.begin() + static_cast<std::ptrdiff_t>(index));
  }

  bool evict_oldest() {
    if (s_.holders.empty()) {
      return false;
    }
    const auto oldest = std::min_element(
        s_.holders.begin(), s_.holders.end(),
        [](const Holder& a, const Holder& b) { return a.last_used < b.last_used; });
    evict(static_cast<std::size_t>(oldest - s_.holders.begin()));
    return true;
  }

  bool free_cells(std::uint32_t count) {
    while (s_.pool.free() < count) {
      if (!evict_oldest()) {
        return false;
      }
    }
    return true;
  }

  // REQUIRES: fewer than Config::sequences running, which admission sees to.
  SequenceId take_sequence() {
    while (s_.free_sequences.empty() && evict_oldest()) {
    }
    const SequenceId id = s_.free_sequences.back();
    s_.free_sequences.pop_back();
    return id;
  }

  void take_cells(Branch& branch, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      branch.cells.push_back(s_.pool.take());
    }
    branch.reserved -= std::min(branch.reserved, count);
  }

  // Gives `to` the first `tokens` of a sequence in memory.
  void copy_prefix(SequenceId from, const std::vector<Cell>& cells, std::uint32_t tokens,
                   Branch& to) {
    plan_.memory.push_back(
        {.kind = MemoryOp::Kind::copy, .from = from, .to = to.sequence, .tokens = tokens});
    for (std::uint32_t i = 0; i < tokens; ++i) {
      if (s_.config.share_cells) {
        s_.pool.add_ref(cells[i]);
        s_.pool.pin(cells[i]);
        to.cells.push_back(cells[i]);
      } else {
        to.cells.push_back(s_.pool.take());
      }
    }
    to.computed = tokens;
  }

  // The branch leaves memory; what it computed stays for others when that is worth it.
  void release(Branch& branch, bool keep) {
    if (branch.sequence < 0) {
      return;
    }
    for (const Cell cell : branch.cells) {
      s_.pool.unpin(cell);
    }
    keep = keep && (s_.config.sharing != Sharing::off) && branch.computed >= s_.config.shared_min;
    if (keep) {
      keep_holder(branch);
    } else {
      for (const Cell cell : branch.cells) {
        s_.pool.drop_ref(cell);
      }
      drop_sequence(branch.sequence);
    }
    branch.sequence = -1;
    branch.cells.clear();
    branch.computed = 0;
    branch.reserved = 0;
  }

  void keep_holder(Branch& branch) {
    Holder made{.sequence = branch.sequence,
                .salt = branch.salt,
                .tokens = std::vector<Token>(branch.tokens.begin(),
                                             branch.tokens.begin() + branch.computed),
                .cells = branch.cells,
                .last_used = s_.steps};
    for (std::size_t i = s_.holders.size(); i > 0; --i) {
      Holder& other = s_.holders[i - 1];
      if (other.salt != made.salt) {
        continue;
      }
      const std::size_t shared =
          common_prefix(other.tokens, other.tokens.size(), made.tokens, made.tokens.size());
      if (shared == other.tokens.size()) {
        evict(i - 1);  // the new one holds all of it
      } else if (shared == made.tokens.size()) {
        other.last_used = s_.steps;  // the old one holds more
        drop_holder(made);
        return;
      }
    }
    s_.holders.push_back(std::move(made));
    while (s_.pool.used() - s_.pool.pinned() > s_.config.cached_cells_max && evict_oldest()) {
    }
  }

  // --- calls ---

  template <class List>
  static auto find(List& list, std::uint64_t call, std::uint32_t choice) {
    return std::find_if(list.begin(), list.end(),
                        [&](const Branch& b) { return b.call == call && b.choice == choice; });
  }

  void cancel(std::uint64_t call) {
    if (s_.calls.erase(call) == 0) {
      return;  // finished meanwhile
    }
    plan_.cancelled.push_back(call);
    std::erase_if(s_.waiting, [&](const Branch& b) { return b.call == call; });
    for (Branch& branch : s_.running) {
      if (branch.call == call) {
        release(branch, true);
      }
    }
    std::erase_if(s_.running, [&](const Branch& b) { return b.call == call; });
  }

  // The first drawn tokens of a call with several choices split it into branches.
  void fork(const Sampled& sampled) {
    if (sampled.choice == 0) {
      return;
    }
    const auto base = find(s_.running, sampled.call, 0);
    if (base == s_.running.end() || base->choices <= sampled.choice) {
      return;
    }
    Branch made{.call = base->call,
                .choice = sampled.choice,
                .order = base->order,
                .salt = base->salt,
                .tokens = base->tokens,
                .prompt_tokens = base->prompt_tokens,
                .max_tokens = base->max_tokens};
    made.reserved = std::min(base->reserved, answer_reserve(*base));
    base->reserved -= made.reserved;
    made.sequence = take_sequence();
    copy_prefix(base->sequence, base->cells, base->computed, made);
    s_.running.insert(std::upper_bound(s_.running.begin(), s_.running.end(), made, before),
                      std::move(made));
  }

  void accept(const Sampled& sampled) {
    const auto branch = find(s_.running, sampled.call, sampled.choice);
    if (branch == s_.running.end()) {
      return;  // cancelled meanwhile
    }
    branch->choices = 1;
    branch->tokens.push_back(sampled.token);
    const std::size_t drawn = branch->tokens.size() - branch->prompt_tokens;
    if (!sampled.last && drawn < branch->max_tokens) {
      return;
    }
    release(*branch, true);
    s_.running.erase(branch);
    const auto call = s_.calls.find(sampled.call);
    if (--call->second.choices_left == 0) {
      s_.calls.erase(call);
      plan_.finished.push_back(sampled.call);
    }
  }

  void arrive(const NewCall& call) {
    const auto prompt = static_cast<std::uint32_t>(call.prompt.size());
    Refusal refusal{
        .call = call.call, .prompt_tokens = prompt, .context_tokens = s_.config.context_tokens};
    std::optional<Refusal::Kind> why;
    if (prompt == 0 || call.choices == 0 || call.choices > s_.config.running_max ||
        s_.calls.contains(call.call)) {
      why = Refusal::Kind::invalid;
    } else if (in_.draining) {
      why = Refusal::Kind::draining;
    } else if (static_cast<std::uint64_t>(prompt) + std::max(call.max_tokens, 1U) >
               s_.config.context_tokens) {
      why = Refusal::Kind::context_exceeded;
    } else if (s_.waiting.size() >= s_.config.queue_max) {
      why = Refusal::Kind::queue_full;
    }
    if (why) {
      refusal.kind = *why;
      plan_.refused.push_back(refusal);
      return;
    }
    const std::uint32_t room = s_.config.context_tokens - prompt;
    s_.calls[call.call] = {.choices_left = call.choices, .admitted = false};
    s_.waiting.push_back({.call = call.call,
                          .order = s_.arrivals++,
                          .salt = call.salt,
                          .tokens = call.prompt,
                          .prompt_tokens = prompt,
                          .max_tokens = call.max_tokens == 0 ? room : call.max_tokens,
                          .choices = call.choices});
  }

  // --- the batch ---

  void add_chunk(Branch& branch, std::uint32_t count, bool decode) {
    const auto from = static_cast<std::uint32_t>(branch.cells.size());
    take_cells(branch, count);
    const bool whole = branch.cells.size() == branch.tokens.size();
    const auto first = branch.tokens.begin() + from;
    plan_.batch.push_back({.call = branch.call,
                           .choice = branch.choice,
                           .sequence = branch.sequence,
                           .position = from,
                           .tokens = std::vector<Token>(first, first + count),
                           .samples = whole ? branch.choices : 0,
                           .decode = decode});
    budget_ -= count;
  }

  // Takes the youngest running branch out of memory; it computes again later. What it had drawn
  // stays drawn.
  void preempt_youngest() {
    Branch victim = std::move(s_.running.back());
    s_.running.pop_back();
    release(victim, false);
    plan_.preempted.push_back(victim.call);
    s_.waiting.insert(std::upper_bound(s_.waiting.begin(), s_.waiting.end(), victim, before),
                      std::move(victim));
  }

  void plan_decodes() {
    for (std::size_t i = 0; i < s_.running.size() && budget_ > 0; ++i) {
      const Branch& branch = s_.running[i];
      if (branch.tokens.size() - branch.cells.size() != 1 || branch.choices > 1) {
        continue;
      }
      while (i < s_.running.size() && !free_cells(1)) {
        preempt_youngest();
      }
      if (i < s_.running.size()) {
        add_chunk(s_.running[i], 1, true);
      }
    }
  }

  void plan_prompts() {
    for (std::size_t i = 0; i < s_.running.size() && budget_ > 0; ++i) {
      plan_prompt(s_.running[i]);
    }
  }

  void plan_prompt(Branch& branch) {
    auto left = static_cast<std::uint32_t>(branch.tokens.size() - branch.cells.size());
    left = std::min(left, budget_);
    if (left == 0) {
      return;
    }
    if (!free_cells(left)) {
      left = s_.pool.free();
    }
    if (left > 0) {
      add_chunk(branch, left, false);
    }
  }

  // --- admission ---

  [[nodiscard]] std::uint32_t answer_reserve(const Branch& branch) const {
    const auto drawn = static_cast<std::uint32_t>(branch.tokens.size()) - branch.prompt_tokens;
    return std::min(branch.max_tokens - drawn, s_.config.reserve_tokens);
  }

  [[nodiscard]] PrefixMatch match(const Branch& branch) const {
    PrefixMatch best;
    if (!(s_.config.sharing != Sharing::off)) {
      return best;
    }
    const std::size_t usable = branch.tokens.size() - 1;  // the last one's logits are needed
    for (std::size_t i = 0; i < s_.holders.size(); ++i) {
      const Holder& holder = s_.holders[i];
      if (holder.salt != branch.salt) {
        continue;
      }
      const auto shared = common_prefix(holder.tokens, holder.tokens.size(), branch.tokens, usable);
      if (shared > best.tokens) {
        best.tokens = shared;
        best.holder = static_cast<std::ptrdiff_t>(i);
      }
    }
    for (std::size_t i = 0; i < s_.running.size(); ++i) {
      const Branch& other = s_.running[i];
      if (other.salt != branch.salt) {
        continue;
      }
      const auto shared = common_prefix(other.tokens, other.tokens.size(), branch.tokens, usable);
      best.coming = std::max(best.coming, shared);
      const std::uint32_t ready = std::min(shared, other.computed);
      if (ready > best.tokens) {
        best.tokens = ready;
        best.holder = -1;
        best.branch = static_cast<std::ptrdiff_t>(i);
      }
    }
    if (best.tokens < s_.config.shared_min) {
      best.tokens = 0;
    }
    return best;
  }

  // Whether memory has room for the branch beside what the others have reserved.
  [[nodiscard]] bool has_room(const Branch& branch, const PrefixMatch& found) const {
    if (!s_.config.share_cells) {
      return true;  // every sequence has a whole context of its own
    }
    std::uint64_t promised = s_.pool.pinned();
    for (const Branch& other : s_.running) {
      promised += other.reserved;
    }
    std::uint64_t need = 0;
    if (found.holder >= 0) {
      const auto& cells = s_.holders[static_cast<std::size_t>(found.holder)].cells;
      for (std::uint32_t i = 0; i < found.tokens; ++i) {
        need += s_.pool.is_pinned(cells[i]) ? 0 : 1;
      }
    }
    need += branch.tokens.size() - found.tokens;
    need += static_cast<std::uint64_t>(branch.choices) * answer_reserve(branch);
    return s_.running.empty() || promised + need <= s_.pool.total();
  }

  [[nodiscard]] std::uint32_t running_sequences() const {
    std::uint32_t count = 0;
    for (const Branch& branch : s_.running) {
      count += branch.choices;
    }
    return count;
  }

  void admit() {
    std::size_t i = 0;
    while (i < s_.waiting.size() && budget_ > 0) {
      const Branch& branch = s_.waiting[i];
      if (running_sequences() + branch.choices > s_.config.running_max) {
        return;
      }
      const PrefixMatch found = match(branch);
      if (found.coming >= found.tokens + s_.config.wait_min) {
        ++i;  // another call is computing this prefix
        continue;
      }
      if (!has_room(branch, found)) {
        return;  // no overtaking: the eldest gets the next room
      }
      start(i, found);
    }
  }

  void start(std::size_t index, const PrefixMatch& found) {
    Branch branch = std::move(s_.waiting[index]);
    s_.waiting.erase(s_.waiting.begin() + static_cast<std::ptrdiff_t>(index));
    take_prefix(branch, found);
    branch.reserved = static_cast<std::uint32_t>(branch.tokens.size()) - branch.computed +
                      branch.choices * answer_reserve(branch);
    CallState& call = s_.calls[branch.call];
    if (!call.admitted) {
      call.admitted = true;
      plan_.admitted.push_back({.call = branch.call, .cached_tokens = branch.computed});
    }
    const auto at = s_.running.insert(
        std::upper_bound(s_.running.begin(), s_.running.end(), branch, before), std::move(branch));
    plan_prompt(*at);
  }

  void take_prefix(Branch& branch, const PrefixMatch& found) {
    if (found.tokens == 0) {
      branch.sequence = take_sequence();
      return;
    }
    if (found.holder >= 0) {
      Holder& holder = s_.holders[static_cast<std::size_t>(found.holder)];
      holder.last_used = s_.steps;
      if (found.tokens == holder.tokens.size()) {  // all of it: take it over
        take_over(branch, holder);
        s_.holders.erase(s_.holders.begin() + found.holder);
        return;
      }
    }
    copy_from(branch, found);
  }

  void copy_from(Branch& branch, const PrefixMatch& found) {
    if (found.holder < 0) {
      branch.sequence = take_sequence();
      const Branch& other = s_.running[static_cast<std::size_t>(found.branch)];
      copy_prefix(other.sequence, other.cells, found.tokens, branch);
      return;
    }
    // The source leaves the list meanwhile, so that freeing an id or cells cannot evict it.
    Holder holder = std::move(s_.holders[static_cast<std::size_t>(found.holder)]);
    s_.holders.erase(s_.holders.begin() + found.holder);
    if (s_.free_sequences.empty() && s_.holders.empty()) {
      cut_and_take_over(branch, holder, found.tokens);
      return;
    }
    branch.sequence = take_sequence();
    copy_prefix(holder.sequence, holder.cells, found.tokens, branch);
    s_.holders.push_back(std::move(holder));
  }

  // No other id is spare: the holder loses what the branch does not share.
  void cut_and_take_over(Branch& branch, Holder& holder, std::uint32_t tokens) {
    plan_.memory.push_back(
        {.kind = MemoryOp::Kind::cut, .from = holder.sequence, .tokens = tokens});
    for (std::size_t i = tokens; i < holder.cells.size(); ++i) {
      s_.pool.drop_ref(holder.cells[i]);
    }
    holder.cells.resize(tokens);
    take_over(branch, holder);
  }

  void take_over(Branch& branch, Holder& holder) {
    branch.sequence = holder.sequence;
    branch.cells = std::move(holder.cells);
    for (const Cell cell : branch.cells) {
      s_.pool.pin(cell);
    }
    branch.computed = static_cast<std::uint32_t>(branch.cells.size());
  }

  State& s_;
  const Inputs& in_;
  Plan plan_;
  std::uint32_t budget_ = 0;
};

}  // namespace

State::State(const Config& c)
    : config(c),
      pool(c.share_cells ? c.cells : std::max(c.sequences, c.running_max) * c.context_tokens) {
  config.sequences = std::max(config.sequences, config.running_max);
  config.step_tokens = std::max(config.step_tokens, config.running_max + kPromptRowsMin);
  config.context_tokens = std::min(config.context_tokens, pool.total());
  for (std::uint32_t i = config.sequences; i > 0; --i) {
    free_sequences.push_back(static_cast<SequenceId>(i - 1));
  }
}

Plan step(State& state, const Inputs& inputs) {
  return Stepper(state, inputs).run();
}

}  // namespace deepmoat::scheduler
