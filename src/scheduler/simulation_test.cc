// Seeded simulation: random calls, tenants, models and faults against a fake engine whose next
// token is a hash of what its memory holds. Every step checks the invariants; every call must end
// once with exactly the tokens that it would get alone.
//
// A seed that fails goes into seeds.txt: those run first, always. More seeds than usual:
//   DEEPMOAT_SIMULATION_SEEDS=20000 scheduler_test --gtest_filter='Simulation.*'
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "scheduler/fake_engine.h"
#include "scheduler/scheduler.h"

namespace deepmoat::scheduler {
namespace {

constexpr std::uint64_t kSeeds = 600;
constexpr std::uint64_t kTicksMax = 30'000;

struct Script {
  NewCall call;
  std::uint64_t arrives = 0;       // at this tick
  std::uint64_t cancelled_at = 0;  // 0: never
};

// How often things go wrong, in 1000.
struct Faults {
  std::uint32_t save_fails = 0;
  std::uint32_t copy_lost = 0;
  std::uint32_t chunk_lost = 0;
  std::uint32_t clock_jumps = 0;
};

struct Scenario {
  std::uint64_t seed = 0;
  Config config;
  Faults faults;
  std::size_t window = 0;
  std::vector<Script> scripts;
};

using BranchKey = std::pair<std::uint64_t, std::uint32_t>;  // call, choice

struct Outcome {
  std::map<BranchKey, std::vector<Token>> answers;
  std::set<std::uint64_t> finished, refused, cancelled;
  std::uint64_t plan_hash = 0;
  std::uint64_t cached = 0;
  Counters counters;
  std::string wrong;  // the first violated invariant
};

class World {
 public:
  explicit World(const Scenario& scenario)
      : scenario_(scenario),
        state_(scenario.config),
        engine_(state_.config, scenario.window),
        random_(scenario.seed) {
    for (const Script& script : scenario_.scripts) {
      calls_[script.call.call] = script.call;
    }
  }

  Outcome run() {
    Inputs inputs;
    for (std::uint64_t tick = 1; tick < kTicksMax && engine_.wrong().empty(); ++tick) {
      const bool more = fill(inputs, tick);
      const Plan plan = step(state_, inputs);
      inputs = {};
      carry_out(plan, inputs);
      if (const auto wrong = find_inconsistency(state_)) {
        engine_.expect(false, *wrong);
      }
      if (!more && state_.calls.empty()) {
        break;
      }
    }
    engine_.expect(state_.calls.empty(), fmt::format("{} calls never ended", state_.calls.size()));
    out_.wrong = engine_.wrong();
    out_.counters = state_.counters;
    return std::move(out_);
  }

 private:
  bool happens(std::uint32_t in_thousand) { return random_() % 1000 < in_thousand; }

  // Returns whether calls are still to come.
  bool fill(Inputs& inputs, std::uint64_t tick) {
    bool more = false;
    for (const Script& script : scenario_.scripts) {
      if (script.arrives == tick) {
        inputs.arrivals.push_back(script.call);
      }
      if (script.cancelled_at == tick) {
        inputs.cancels.push_back(script.call.call);
      }
      more = more || script.arrives > tick;
    }
    now_ms_ += random_() % 40;
    if (happens(scenario_.faults.clock_jumps)) {
      now_ms_ = random_() % 2 == 0 ? now_ms_ + 50'000 : now_ms_ / 2;
    }
    inputs.now_ms = now_ms_;
    inputs.step_tokens = random_() % 3 == 0 ? 8 + random_() % 64 : 0;
    // Not drawn: the kept seeds must mean what they meant.
    inputs.solo_tokens = now_ms_ % 3 == 0 ? 8 + static_cast<std::uint32_t>(now_ms_ % 61) : 0;
    return more;
  }

  void carry_out(const Plan& plan, Inputs& next) {
    note(plan);
    engine_.carry_out(plan, next, [&] { return happens(scenario_.faults.save_fails); });
    for (const SequenceId id : engine_.given()) {
      if (happens(scenario_.faults.copy_lost)) {
        next.lost.push_back(id);
      }
    }
    std::size_t rows = 0;
    std::set<SequenceId> seen;
    for (const Chunk& chunk : plan.batch) {
      rows += chunk.tokens.size();
      engine_.expect(!chunk.tokens.empty(), "an empty chunk");
      engine_.expect(seen.insert(chunk.sequence).second, "two chunks of one sequence");
      engine_.expect(calls_[chunk.call].adapter == plan.adapter, "a batch of two adapters");
      if (std::ranges::find(next.lost, chunk.sequence) == next.lost.end()) {
        if (happens(scenario_.faults.chunk_lost)) {
          engine_.drop(chunk.sequence);
          next.lost.push_back(chunk.sequence);
        } else {
          compute(chunk, next);
        }
      }
    }
    engine_.check_cells();
    for (const Branch& branch : state_.running) {
      if (std::ranges::find(next.lost, branch.sequence) != next.lost.end()) {
        reached_.erase({branch.call, branch.choice});
      }
    }
    engine_.expect(rows <= state_.config.step_tokens, "the batch is over the budget");
  }

  void compute(const Chunk& chunk, Inputs& next) {
    const BranchKey key{chunk.call, chunk.choice};
    const auto end = chunk.position + chunk.tokens.size();
    const auto reached = reached_.find(key);
    engine_.expect(reached == reached_.end() || reached->second == chunk.position,
                   "what was computed is computed again");
    reached_[key] = end;
    const std::vector<Token> drawn = engine_.compute(chunk, calls_[chunk.call]);
    for (std::uint32_t i = 0; i < drawn.size(); ++i) {
      const std::uint32_t choice = chunk.choice + i;
      reached_[{chunk.call, choice}] = end;
      out_.answers[{chunk.call, choice}].push_back(drawn[i]);
      next.sampled.push_back(
          {.call = chunk.call, .choice = choice, .token = drawn[i], .last = drawn[i] == kEnd});
    }
  }

  void end(std::uint64_t call, std::set<std::uint64_t>& as) {
    engine_.expect(!out_.finished.contains(call) && !out_.cancelled.contains(call) &&
                       !out_.refused.contains(call),
                   fmt::format("call {} ended twice", call));
    as.insert(call);
  }

  void note(const Plan& plan) {
    std::uint64_t& hash = out_.plan_hash;
    for (const auto call : plan.finished) {
      end(call, out_.finished);
    }
    for (const auto call : plan.cancelled) {
      end(call, out_.cancelled);
    }
    for (const auto& refusal : plan.refused) {
      end(refusal.call, out_.refused);
      hash = mix(hash, refusal.retry_after_ms);
    }
    for (const auto& admission : plan.admitted) {
      out_.cached += admission.cached_tokens;
    }
    for (const std::uint64_t call : plan.preempted) {
      for (std::uint32_t choice = 0; choice < calls_[call].choices; ++choice) {
        reached_.erase({call, choice});
      }
    }
    for (const Chunk& chunk : plan.batch) {
      hash = mix(mix(hash, chunk.call), chunk.position * 131 + chunk.tokens.size());
    }
    for (const MemoryOp& op : plan.memory) {
      hash = mix(hash, static_cast<std::uint64_t>(op.kind) + op.slot * 7ULL + op.tokens * 101ULL);
      hash = mix(hash, static_cast<std::uint64_t>(op.from * 1000 + op.to));
    }
  }

  const Scenario& scenario_;
  State state_;
  FakeEngine engine_;
  std::mt19937_64 random_;
  std::map<std::uint64_t, NewCall> calls_;
  std::map<BranchKey, std::size_t> reached_;  // tokens computed since it was last let in
  std::uint64_t now_ms_ = 1000;
  Outcome out_;
};

class ScenarioMaker {
 public:
  explicit ScenarioMaker(std::uint64_t seed) : random_(seed) { made_.seed = seed; }

  Scenario make() {
    make_config();
    make_model();
    make_faults();
    make_scripts();
    return std::move(made_);
  }

 private:
  std::uint32_t below(std::uint64_t n) { return static_cast<std::uint32_t>(random_() % n); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  void make_config() {
    Config& config = made_.config;
    config.cells = 64 + below(400);
    config.context_tokens = std::min(config.cells, 48 + below(200));
    config.running_max = 2 + below(10);
    config.sequences = config.running_max + below(8);
    config.queue_max = 4 + below(60);
    config.tenant_queue_max = one_in(3) ? 2 + below(10) : config.queue_max;
    config.step_tokens = 16 + below(80);
    config.reserve_tokens = 1 + below(40);
    config.watermark_cells = one_in(3) ? below(30) : 0;
    config.wait_min = 1 + below(20);
    config.cached_cells_max = below(400);
    config.adapter_quantum = 1 + below(6);
    config.fairness_slack = below(200);
  }

  void make_model() {
    Config& config = made_.config;
    made_.window = 4 + below(30);
    config.unit_tokens = 8 + below(60);
    config.cell_bytes = 10;
    config.host_bytes_max = one_in(3) ? 0 : one_in(2) ? 200 + below(800) : 20'000;
    switch (below(6)) {
      case 0:
      case 1:
        break;  // plain attention
      case 2:
        config.share_cells = false;
        break;
      case 3:
        config.sharing = Sharing::window;
        break;
      case 4:  // hybrid: the attention's part is shared, the recurrent one is a checkpoint
        config.sharing = Sharing::whole;
        break;
      default:  // recurrent, DeepSeek V4
        config.sharing = Sharing::whole;
        config.partial_checkpoints = false;
        config.share_cells = false;
    }
  }

  void make_faults() {
    if (one_in(2)) {
      return;
    }
    made_.faults = {.save_fails = below(400),
                    .copy_lost = one_in(2) ? below(200) : 0,
                    .chunk_lost = one_in(2) ? below(30) : 0,
                    .clock_jumps = below(50)};
  }

  void make_scripts() {
    std::vector<std::vector<Token>> prefixes(3);
    for (auto& prefix : prefixes) {
      prefix.resize(below(60));
      for (Token& token : prefix) {
        token = static_cast<Token>(1 + below(3));
      }
    }
    const std::uint32_t calls = 3 + below(40);
    const std::uint32_t burst = one_in(3) ? calls : 0;  // they come in one step
    for (std::uint64_t id = 1; id <= calls; ++id) {
      make_script(id, prefixes[below(prefixes.size())]);
      Script& script = made_.scripts.back();
      script.arrives = burst > 0 ? 2 : script.arrives;
    }
  }

  void make_script(std::uint64_t id, const std::vector<Token>& prefix) {
    Script script;
    NewCall& call = script.call;
    call.call = id;
    call.tenant = std::string(1, static_cast<char>('a' + below(3) * below(2)));
    call.salt = one_in(5) ? call.tenant + "2" : call.tenant;
    call.weight = call.tenant == "b" ? 2 : 1;
    call.priority = one_in(5) ? 1 : 0;
    call.adapter = one_in(4) ? 1 + below(2) : 0;
    call.public_tokens = one_in(3) ? static_cast<std::uint32_t>(prefix.size()) : 0;
    call.prompt = prefix;
    for (std::uint32_t i = 1 + below(12); i > 0; --i) {
      call.prompt.push_back(static_cast<Token>(1 + below(4)));
    }
    for (std::uint32_t at = below(30); one_in(3) || at > 0; at += 1 + below(20)) {
      call.marks.push_back(at);
      if (at > call.prompt.size()) {
        break;
      }
    }
    call.max_tokens = one_in(5) ? 0 : 1 + below(40);
    call.choices = one_in(4) ? 1 + below(4) : 1;
    call.deadline_ms = one_in(6) ? 1000 + below(3000) : 0;
    script.arrives = 1 + below(60);
    script.cancelled_at = one_in(6) ? script.arrives + below(30) : 0;
    made_.scripts.push_back(std::move(script));
  }

  std::mt19937_64 random_;
  Scenario made_;
};

Scenario make_scenario(std::uint64_t seed) {
  return ScenarioMaker(seed).make();
}

// The seeds that ever failed, then 1 to the usual number.
std::vector<std::uint64_t> seeds(std::uint64_t usual) {
  std::vector<std::uint64_t> all;
  std::ifstream kept(DEEPMOAT_SEEDS_FILE);
  EXPECT_TRUE(kept.good()) << DEEPMOAT_SEEDS_FILE;
  std::string line;
  while (std::getline(kept, line)) {
    if (!line.empty() && line[0] != '#') {
      all.push_back(std::stoull(line));
    }
  }
  const char* wanted = std::getenv("DEEPMOAT_SIMULATION_SEEDS");
  const std::uint64_t count = wanted == nullptr ? usual : std::stoull(wanted);
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    all.push_back(seed);
  }
  return all;
}

// The answer that a call gets when nothing else runs.
std::vector<Token> answer_alone(const NewCall& call, std::uint32_t max, std::uint32_t choice) {
  std::vector<Token> tokens = call.prompt;
  std::vector<Token> answer;
  while (answer.size() < max) {
    answer.push_back(FakeEngine::next_token(tokens, call.adapter, choice));
    tokens.push_back(answer.back());
    if (answer.back() == kEnd) {
      break;
    }
  }
  return answer;
}

void check_answers(const Scenario& scenario, const Outcome& out) {
  for (const Script& script : scenario.scripts) {
    const NewCall& call = script.call;
    const int ends = static_cast<int>(out.finished.contains(call.call)) +
                     static_cast<int>(out.refused.contains(call.call)) +
                     static_cast<int>(out.cancelled.contains(call.call));
    ASSERT_EQ(ends, 1) << "seed " << scenario.seed << " call " << call.call;
    if (!out.finished.contains(call.call)) {
      continue;
    }
    const auto room =
        scenario.config.context_tokens - static_cast<std::uint32_t>(call.prompt.size());
    for (std::uint32_t choice = 0; choice < call.choices; ++choice) {
      const auto expected =
          answer_alone(call, call.max_tokens == 0 ? room : call.max_tokens, choice);
      ASSERT_EQ(out.answers.at({call.call, choice}), expected)
          << "seed " << scenario.seed << " call " << call.call << " choice " << choice;
    }
  }
}

TEST(Simulation, EveryCallEndsOnceWithItsOwnTokens) {
  std::uint64_t cached = 0;
  Counters sum;
  for (const std::uint64_t seed : seeds(kSeeds)) {
    const Scenario scenario = make_scenario(seed);
    const Outcome out = World(scenario).run();
    ASSERT_EQ(out.wrong, "") << "seed " << seed;
    check_answers(scenario, out);
    if (HasFatalFailure()) {
      return;
    }
    cached += out.cached;
    sum.preemptions += out.counters.preemptions;
    sum.spills += out.counters.spills;
    sum.restores += out.counters.restores;
    sum.checkpoints += out.counters.checkpoints;
    sum.lost += out.counters.lost;
    sum.evictions += out.counters.evictions;
  }
  EXPECT_GT(cached, 10'000U) << "the scenarios hardly share prefixes";
  EXPECT_GT(sum.preemptions, 100U) << "the scenarios hardly run out of cells";
  EXPECT_GT(sum.spills, 100U);
  EXPECT_GT(sum.restores, 100U);
  EXPECT_GT(sum.checkpoints, 100U);
  EXPECT_GT(sum.lost, 100U);
  EXPECT_GT(sum.evictions, 100U);
}

// The same calls with nobody refused or cancelled.
Scenario make_patient(std::uint64_t seed) {
  Scenario scenario = make_scenario(seed);
  for (Script& script : scenario.scripts) {
    script.cancelled_at = 0;
    script.call.deadline_ms = 0;
  }
  scenario.config.queue_max = 1000;
  scenario.config.tenant_queue_max = 1000;
  return scenario;
}

TEST(Simulation, TheCacheChangesNoToken) {
  for (const std::uint64_t seed : seeds(kSeeds / 5)) {
    Scenario scenario = make_patient(seed);
    const Outcome with = World(scenario).run();
    scenario.config.sharing = Sharing::off;
    const Outcome without = World(scenario).run();
    ASSERT_EQ(without.wrong, "") << "seed " << seed;
    ASSERT_EQ(without.cached, 0U);
    ASSERT_EQ(with.answers, without.answers) << "seed " << seed;
  }
}

TEST(Simulation, TheSameSeedGivesTheSamePlans) {
  for (const std::uint64_t seed : seeds(kSeeds / 10)) {
    const Scenario scenario = make_scenario(seed);
    const Outcome one = World(scenario).run();
    const Outcome two = World(scenario).run();
    ASSERT_EQ(one.plan_hash, two.plan_hash) << "seed " << seed;
  }
}

}  // namespace
}  // namespace deepmoat::scheduler
