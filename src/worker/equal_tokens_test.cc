// Temperature 0 gives the same tokens whatever else happens: under load, from the prefix cache,
// after preemption, after a state came back from host memory; for every kind of memory.
//
// The engine's sums depend on how many rows a batch has, so where the two most probable tokens are
// all but equal they may change places. There, and only there, answers may part.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "worker/worker_fixture.h"

namespace deepmoat::worker {
namespace {

constexpr double kNearTie = 0.05;  // of natural logarithms of probabilities
constexpr int kCalls = 8;

// Of a tiny model, or of a real one: "demo", "gemma".
std::string file_of(const std::string& name) {
  if (name == "demo") {
    return tests::demo_model();
  }
  if (name == "gemma") {
    const char* file = std::getenv("DEEPMOAT_WINDOW_MODEL");
    return file == nullptr ? "" : file;
  }
  return tiny(name);
}

const std::string kRules =
    "You are the assistant of a library. Answer in one short sentence. Never mention prices. Be "
    "polite, name the shelf if you know it, and say so when you do not know something. ";

wire::ToWorker call_of(int i, std::uint64_t id, const std::string& salt, std::uint32_t tokens,
                       bool chat) {
  const std::string question =
      "Question " + std::to_string(i * 7919) + " about shelf " + std::to_string(i) + "?";
  auto frame = chat_call(id, question, tokens, i % 4 == 3 ? "" : kRules);
  wire::InferRequest& infer = *frame.mutable_infer();
  if (!chat) {
    infer.set_text((i % 4 == 3 ? "" : kRules) + question);
  }
  infer.set_tenant_salt(salt);
  infer.set_tenant(salt);
  infer.set_ignore_eos(true);
  infer.set_logprobs(true);
  infer.set_top_logprobs(2);
  return frame;
}

using Answer = std::vector<wire::Logprob>;
using Answers = std::vector<Answer>;

Answers run(WorkerProcess& worker, std::uint64_t first_id, const std::string& salt,
            std::uint32_t tokens, bool at_once, int count = kCalls) {
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < count; ++i) {
    ids.push_back(first_id + static_cast<std::uint64_t>(i));
    worker.send(call_of(i, ids.back(), at_once || !salt.empty() ? salt : std::to_string(i), tokens,
                        worker.ready->chat()));
    if (!at_once) {
      EXPECT_TRUE(worker.wait_for({ids.back()})) << worker.fatal;
    }
  }
  EXPECT_TRUE(worker.wait_for(ids)) << worker.fatal;
  Answers answers;
  for (const std::uint64_t id : ids) {
    EXPECT_TRUE(worker.calls[id].finished.has_value())
        << (worker.calls[id].refused ? worker.calls[id].refused->message() : "");
    answers.push_back(worker.calls[id].logprobs[0]);
    EXPECT_EQ(answers.back().size(), tokens);
  }
  return answers;
}

double gap_of(const wire::Logprob& token) {
  return token.top_size() < 2 ? 100.0 : token.top(0).logprob() - token.top(1).logprob();
}

// Whether both are the same up to a near tie of the first one. Counts the ties.
bool agree(const Answer& alone, const Answer& other, int& ties) {
  for (std::size_t i = 0; i < std::min(alone.size(), other.size()); ++i) {
    if (alone[i].chosen().raw() != other[i].chosen().raw()) {
      ++ties;
      return gap_of(alone[i]) < kNearTie;
    }
  }
  return alone.size() == other.size();
}

void expect_same(const Answers& alone, const Answers& other, const char* when) {
  int ties = 0;
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_TRUE(agree(alone[i], other[i], ties)) << "call " << i << " " << when;
  }
  EXPECT_LE(ties, kCalls / 2) << when << ": ties must stay rare";
}

class EqualTokens : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    file_ = file_of(GetParam());
    ASSERT_FALSE(file_.empty()) << "run ./test, or set DEEPMOAT_MODEL to the demo model and "
                                   "DEEPMOAT_WINDOW_MODEL to Gemma 3 270M";
    real_ = std::string(GetParam()) == "demo" || std::string(GetParam()) == "gemma";
  }

  std::vector<std::string> flags(std::vector<std::string> more) const {
    more.insert(more.end(), {"--threads", "1", "--step-tokens", "48", "--max-batch-size", "16",
                             "--sliding-window", "checkpoints"});
    return flags_of(file_, more);
  }

  std::string file_;
  bool real_ = false;
};

TEST_P(EqualTokens, AloneUnderLoadAndFromTheCache) {
  const std::uint32_t tokens = real_ ? 12 : 24;
  WorkerProcess worker(flags({"--cells", "8192"}));
  ASSERT_TRUE(worker.wait_until_ready()) << worker.fatal;
  const Answers alone = run(worker, 100, "", tokens, false);
  expect_same(alone, run(worker, 200, "load", tokens, true), "under load");
  expect_same(alone, run(worker, 300, "load", tokens, false), "from the cache");
  std::uint32_t cached = 0;
  for (const auto& [id, call] : worker.calls) {
    cached += call.finished ? call.finished->usage().cached_tokens() : 0;
  }
  EXPECT_GT(cached, 0U) << "nothing was shared, so nothing was tested";
}

// With a part of the memory for each sequence (DeepSeek V4) nobody takes another's cells, and the
// real models would take minutes.
class Preempted : public EqualTokens {};

TEST_P(Preempted, AnswersAreTheSameFromAnewAndFromHostMemory) {
  const std::uint32_t tokens = 800;  // two such answers are more than the small memory holds
  const int count = 4;
  WorkerProcess large(flags({"--cells", "8192"}));
  ASSERT_TRUE(large.wait_until_ready()) << large.fatal;
  const Answers alone = run(large, 100, "", tokens, false, count);
  for (const bool spill : {false, true}) {
    WorkerProcess small(flags({"--cells", "1536", "--spill-mib", spill ? "64" : "0"}));
    ASSERT_TRUE(small.wait_until_ready()) << small.fatal;
    expect_same(alone, run(small, 200, "load", tokens, true, count),
                spill ? "with host memory" : "after preemption");
    ASSERT_TRUE(small.read_until(
        [&] { return small.stats && small.stats->tokens_generated() >= count * tokens; }));
    EXPECT_GT(small.stats->preemptions(), 0U);
    if (spill) {
      EXPECT_GT(small.stats->spills(), 0U);
      EXPECT_GT(small.stats->restores(), 0U);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EqualTokens,
                         ::testing::Values("llama", "gemma3", "deepseek2", "deepseek32",
                                           "deepseek4", "qwen3next", "mamba", "demo", "gemma"),
                         [](const auto& info) { return std::string(info.param); });

INSTANTIATE_TEST_SUITE_P(Models, Preempted,
                         ::testing::Values("llama", "gemma3", "deepseek2", "deepseek32",
                                           "qwen3next", "mamba"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace deepmoat::worker
