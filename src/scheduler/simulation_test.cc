// Seeded simulation: random calls, cancels and budgets against a fake engine whose next token is a
// hash of what its memory holds. Every step checks the invariants; every call must end once with
// exactly the tokens that it would get alone.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <map>
#include <random>
#include <set>

#include "scheduler/scheduler.h"

namespace deepmoat::scheduler {
namespace {

constexpr Token kEnd = 0;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash ^= value + 0x9E3779B97F4A7C15ULL + (hash << 6U) + (hash >> 2U);
  return hash * 0xBF58476D1CE4E5B9ULL;
}

Token next_token(const std::vector<Token>& prefix, std::uint32_t choice) {
  std::uint64_t hash = choice;
  for (const Token token : prefix) {
    hash = mix(hash, static_cast<std::uint64_t>(token));
  }
  return static_cast<Token>((hash >> 20U) % 29);
}

// The answer that a call gets when nothing else runs.
std::vector<Token> answer_alone(std::vector<Token> tokens, std::uint32_t max,
                                std::uint32_t choice) {
  std::vector<Token> answer;
  while (answer.size() < max) {
    const Token token = next_token(tokens, choice);
    tokens.push_back(token);
    answer.push_back(token);
    if (token == kEnd) {
      break;
    }
  }
  return answer;
}

struct Script {
  NewCall call;
  std::uint64_t arrives = 0;
  std::uint64_t cancelled_at = 0;  // 0: never
};

struct Outcome {
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::vector<Token>> answers;
  std::set<std::uint64_t> finished, refused, cancelled;
  std::uint64_t plan_hash = 0;
  std::uint64_t cached = 0;
  std::uint64_t preempted = 0;
  std::string wrong;  // the first violated invariant
};

class World {
 public:
  World(const Config& config, std::vector<Script> scripts)
      : state_(config), scripts_(std::move(scripts)) {
    for (const Script& script : scripts_) {
      calls_[script.call.call] = script.call;
    }
  }

  Outcome run() {
    Inputs inputs;
    std::mt19937 budgets(7);
    for (std::uint64_t tick = 1; tick < 20'000 && out_.wrong.empty(); ++tick) {
      bool more = false;
      for (const Script& script : scripts_) {
        if (script.arrives == tick) {
          inputs.arrivals.push_back(script.call);
        }
        if (script.cancelled_at == tick) {
          inputs.cancels.push_back(script.call.call);
        }
        more = more || script.arrives > tick;
      }
      inputs.step_tokens = budgets() % 3 == 0 ? 8 + budgets() % 64 : 0;
      const Plan plan = step(state_, inputs);
      inputs = {};
      carry_out(plan, inputs);
      if (auto wrong = find_inconsistency(state_); wrong && out_.wrong.empty()) {
        out_.wrong = *wrong;
      }
      if (!more && state_.calls.empty()) {
        return out_;
      }
    }
    if (out_.wrong.empty()) {
      out_.wrong = fmt::format("{} calls never ended", state_.calls.size());
    }
    return out_;
  }

 private:
  void expect(bool held, std::string what) {
    if (!held && out_.wrong.empty()) {
      out_.wrong = std::move(what);
    }
  }

  void carry_out(const Plan& plan, Inputs& next) {
    note(plan);
    for (const MemoryOp& op : plan.memory) {
      auto& from = memory_[op.from];
      switch (op.kind) {
        case MemoryOp::Kind::drop:
          from.clear();
          break;
        case MemoryOp::Kind::cut:
          expect(from.size() >= op.tokens, "a cut makes a sequence longer");
          from.resize(op.tokens);
          break;
        case MemoryOp::Kind::copy:
          expect(from.size() >= op.tokens, "a copy takes more than is computed");
          expect(memory_[op.to].empty(), "a copy goes over a sequence in use");
          memory_[op.to].assign(from.begin(), from.begin() + op.tokens);
          break;
        default:
          expect(false, "an operation that this configuration does not have");
      }
    }
    std::size_t rows = 0;
    std::set<SequenceId> seen;
    for (const Chunk& chunk : plan.batch) {
      rows += chunk.tokens.size();
      expect(seen.insert(chunk.sequence).second, "two chunks of one sequence");
      compute(chunk, next);
    }
    expect(rows <= state_.config.step_tokens, "the batch is over the budget");
  }

  void compute(const Chunk& chunk, Inputs& next) {
    auto& memory = memory_[chunk.sequence];
    const NewCall& call = calls_[chunk.call];
    expect(memory.size() == chunk.position, "a chunk does not follow what is in memory");
    for (const Token token : chunk.tokens) {
      memory.push_back({token, call.salt});
    }
    std::vector<Token> prefix;
    for (const auto& [token, salt] : memory) {
      prefix.push_back(token);
      expect(salt == call.salt, "a prefix of another salt");
    }
    for (std::uint32_t i = 0; i < chunk.samples; ++i) {
      const std::uint32_t choice = chunk.choice + i;
      const Token token = next_token(prefix, choice);
      out_.answers[{chunk.call, choice}].push_back(token);
      next.sampled.push_back(
          {.call = chunk.call, .choice = choice, .token = token, .last = token == kEnd});
    }
  }

  void note(const Plan& plan) {
    for (const auto call : plan.finished) {
      expect(out_.finished.insert(call).second, "a call finished twice");
    }
    for (const auto call : plan.cancelled) {
      expect(out_.cancelled.insert(call).second && !out_.finished.contains(call),
             "a call ended twice");
    }
    for (const auto& refusal : plan.refused) {
      out_.refused.insert(refusal.call);
    }
    for (const auto& admission : plan.admitted) {
      out_.cached += admission.cached_tokens;
    }
    out_.preempted += plan.preempted.size();
    for (const Chunk& chunk : plan.batch) {
      out_.plan_hash =
          mix(mix(out_.plan_hash, chunk.call), chunk.position * 131 + chunk.tokens.size());
    }
    for (const MemoryOp& op : plan.memory) {
      out_.plan_hash = mix(out_.plan_hash, static_cast<std::uint64_t>(op.from * 1000 + op.to));
    }
  }

  State state_;
  std::vector<Script> scripts_;
  std::map<std::uint64_t, NewCall> calls_;
  std::map<SequenceId, std::vector<std::pair<Token, std::string>>> memory_;
  Outcome out_;
};

struct Scenario {
  Config config;
  std::vector<Script> scripts;
};

Scenario make_scenario(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t n) { return static_cast<std::uint32_t>(random() % n); };
  Scenario made;
  made.config.cells = 64 + below(400);
  made.config.context_tokens = std::min(made.config.cells, 48 + below(200));
  made.config.running_max = 4 + below(8);
  made.config.sequences = made.config.running_max + below(6);
  made.config.queue_max = 4 + below(40);
  made.config.step_tokens = 16 + below(80);
  made.config.reserve_tokens = 1 + below(40);
  made.config.wait_min = 1 + below(20);
  made.config.cached_cells_max = below(400);
  made.config.share_cells = below(4) != 0;
  std::vector<std::vector<Token>> prefixes(3);
  for (auto& prefix : prefixes) {
    prefix.resize(below(60));
    for (Token& token : prefix) {
      token = static_cast<Token>(1 + below(3));
    }
  }
  const std::uint32_t calls = 3 + below(30);
  for (std::uint64_t id = 1; id <= calls; ++id) {
    Script script;
    script.call.call = id;
    script.call.salt = below(3) == 0 ? "b" : "a";
    script.call.prompt = prefixes[below(prefixes.size())];
    for (std::uint32_t i = 1 + below(12); i > 0; --i) {
      script.call.prompt.push_back(static_cast<Token>(1 + below(4)));
    }
    script.call.max_tokens = below(5) == 0 ? 0 : 1 + below(40);
    script.call.choices = below(4) == 0 ? 1 + below(4) : 1;
    script.arrives = 1 + below(60);
    script.cancelled_at = below(6) == 0 ? script.arrives + below(30) : 0;
    made.scripts.push_back(std::move(script));
  }
  return made;
}

void check_answers(const Scenario& scenario, const Outcome& out, std::uint64_t seed) {
  for (const Script& script : scenario.scripts) {
    const NewCall& call = script.call;
    const int ends = static_cast<int>(out.finished.contains(call.call)) +
                     static_cast<int>(out.refused.contains(call.call)) +
                     static_cast<int>(out.cancelled.contains(call.call));
    ASSERT_EQ(ends, 1) << "seed " << seed << " call " << call.call;
    if (!out.finished.contains(call.call)) {
      continue;
    }
    const auto room =
        scenario.config.context_tokens - static_cast<std::uint32_t>(call.prompt.size());
    for (std::uint32_t choice = 0; choice < call.choices; ++choice) {
      const auto expected =
          answer_alone(call.prompt, call.max_tokens == 0 ? room : call.max_tokens, choice);
      ASSERT_EQ(out.answers.at({call.call, choice}), expected)
          << "seed " << seed << " call " << call.call << " choice " << choice;
    }
  }
}

TEST(Simulation, EveryCallEndsOnceWithItsOwnTokens) {
  std::uint64_t cached = 0;
  std::uint64_t preempted = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    const Scenario scenario = make_scenario(seed);
    const Outcome out = World(scenario.config, scenario.scripts).run();
    ASSERT_EQ(out.wrong, "") << "seed " << seed;
    check_answers(scenario, out, seed);
    if (HasFatalFailure()) {
      return;
    }
    cached += out.cached;
    preempted += out.preempted;
  }
  EXPECT_GT(cached, 10'000U) << "the scenarios hardly share prefixes";
  EXPECT_GT(preempted, 100U) << "the scenarios hardly run out of cells";
}

TEST(Simulation, TheCacheChangesNoToken) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    Scenario scenario = make_scenario(seed);
    for (Script& script : scenario.scripts) {
      script.cancelled_at = 0;
    }
    scenario.config.queue_max = 1000;
    const Outcome with = World(scenario.config, scenario.scripts).run();
    scenario.config.sharing = Sharing::off;
    const Outcome without = World(scenario.config, scenario.scripts).run();
    ASSERT_EQ(without.wrong, "") << "seed " << seed;
    ASSERT_EQ(without.cached, 0U);
    ASSERT_EQ(with.answers, without.answers) << "seed " << seed;
  }
}

TEST(Simulation, TheSameSeedGivesTheSamePlans) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const Scenario scenario = make_scenario(seed);
    const Outcome one = World(scenario.config, scenario.scripts).run();
    const Outcome two = World(scenario.config, scenario.scripts).run();
    ASSERT_EQ(one.plan_hash, two.plan_hash) << "seed " << seed;
  }
}

}  // namespace
}  // namespace deepmoat::scheduler
