// What each kind of memory can give to another sequence, on tiny models of every kind: what
// holds() believes must compute the same tokens, and what is not there must not be believed.
#include "engine/sequence_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "engine/backends.h"
#include "engine/model.h"
#include "models/tiny_models.h"

namespace deepmoat::engine {
namespace {

constexpr std::uint32_t kLong = 600;  // more than the tiny window's memory has cells
constexpr std::uint32_t kShort = 100;
constexpr std::uint32_t kSlot = 7;

class Sequences : public ::testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() {
    static const bool loaded = [] {
      const auto variants = rank_cpu_variants(default_engine_dir());
      const auto plainest = std::ranges::find_if(variants->rbegin(), variants->rend(),
                                                 [](const auto& one) { return one.score > 0; });
      return load_backends(default_engine_dir(), *plainest).has_value();
    }();
    ASSERT_TRUE(loaded);
  }

  void SetUp() override {
    ModelOptions options;
    options.file = tests::tiny_model(GetParam());
    ASSERT_FALSE(options.file.empty()) << "run ./test, or set DEEPMOAT_MODEL to a GGUF file";
    options.window = WindowMemory::checkpoints;
    options.cells = 4096;
    options.sequences = 4;
    options.batch_tokens = 64;
    auto model = Model::load(options);
    ASSERT_TRUE(model.has_value()) << model.error().message;
    model_ = *std::move(model);
    ASSERT_TRUE(model_->self_test().has_value());
    for (std::uint32_t i = 0; i < kLong; ++i) {
      prompt_.push_back(static_cast<Token>(300 + (i * 37) % 600));
    }
  }

  SequenceMemory& memory() { return model_->memory(); }
  MemoryKind kind() { return memory().shape().kind; }

  // Computes prompt_[from, to); returns the most probable token after it.
  Token fill(SequenceId sequence, std::uint32_t from, std::uint32_t to) {
    Token best = -1;
    while (from < to) {
      const std::uint32_t count = std::min(50U, to - from);
      const Rows rows{.sequence = sequence,
                      .position = from,
                      .tokens = std::span(prompt_).subspan(from, count),
                      .logits = true};
      EXPECT_TRUE(model_->decode({&rows, 1}).has_value());
      const auto logits = model_->logits(0);
      best = static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
      from += count;
    }
    return best;
  }

  std::vector<Token> go_on(SequenceId sequence, std::uint32_t at, Token token) {
    std::vector<Token> drawn;
    for (int i = 0; i < 12; ++i) {
      const Rows rows{
          .sequence = sequence, .position = at++, .tokens = {&token, 1}, .logits = true};
      EXPECT_TRUE(model_->decode({&rows, 1}).has_value());
      const auto logits = model_->logits(0);
      token = static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
      drawn.push_back(token);
    }
    return drawn;
  }

  // What a sequence that computed everything itself says after `tokens`.
  std::vector<Token> alone(std::uint32_t tokens) {
    const Token first = fill(3, 0, tokens);
    std::vector<Token> drawn = go_on(3, tokens, first);
    drawn.insert(drawn.begin(), first);
    memory().drop(3);
    return drawn;
  }

  std::vector<Token> from_copy(SequenceId sequence, std::uint32_t at, Token first) {
    std::vector<Token> drawn = go_on(sequence, at, first);
    drawn.insert(drawn.begin(), first);
    return drawn;
  }

  std::unique_ptr<Model> model_;
  std::vector<Token> prompt_;
};

TEST_P(Sequences, ACopyAtTheEndComputesTheSame) {
  const std::vector<Token> expected = alone(kShort);
  const Token first = fill(0, 0, kShort);
  memory().copy(0, 1, kShort);
  ASSERT_TRUE(memory().holds(1, kShort));
  EXPECT_EQ(from_copy(1, kShort, first), expected);
  EXPECT_TRUE(memory().holds(0, kShort)) << "the first one keeps what it had";
  EXPECT_EQ(from_copy(0, kShort, first), expected);
}

TEST_P(Sequences, ACopyOfABeginningIsBelievedOnlyWhereItIsThere) {
  const std::vector<Token> expected = alone(kShort);
  std::uint32_t filled = 0;
  for (const std::uint32_t length : {kShort + 20, kLong / 2, kLong}) {
    (void)fill(0, filled, length);
    filled = length;
    memory().copy(0, 1, kShort);
    const bool there = memory().holds(1, kShort);
    if (there) {
      EXPECT_EQ(from_copy(1, kShort, expected[0]), expected) << "with " << length << " before";
    }
    EXPECT_TRUE(there || kind() != MemoryKind::anywhere);
    EXPECT_TRUE(!there || kind() != MemoryKind::whole);
    EXPECT_TRUE(!there || length < kLong || kind() == MemoryKind::anywhere);
    memory().drop(1);
  }
}

TEST_P(Sequences, ACheckpointCompletesACopyOrStandsAlone) {
  const std::vector<Token> expected = alone(kShort);
  (void)fill(0, 0, kShort);
  const bool partial = memory().shape().partial;
  const std::uint64_t bytes = memory().save(kSlot, 0, partial);
  ASSERT_GT(bytes, 0U);
  EXPECT_EQ(memory().saved_bytes(), bytes);
  (void)fill(0, kShort, kLong);
  for (const SequenceId to : {1, 2}) {  // the slot keeps what it has
    if (partial) {
      memory().copy(0, to, kShort);
      EXPECT_FALSE(memory().holds(to, kShort)) << "without its checkpoint it is not whole";
    }
    memory().restore(kSlot, to);
    ASSERT_TRUE(memory().holds(to, kShort));
    EXPECT_EQ(from_copy(to, kShort, expected[0]), expected);
    memory().drop(to);
  }
  memory().forget(kSlot);
  EXPECT_EQ(memory().saved_bytes(), 0U);
  memory().restore(kSlot, 1);
  EXPECT_FALSE(memory().holds(1, kShort));
}

TEST_P(Sequences, AWholeStateComesBack) {
  const std::vector<Token> expected = alone(kLong);
  (void)fill(0, 0, kLong);
  ASSERT_GT(memory().save(kSlot, 0, false), 0U);
  memory().drop(0);
  EXPECT_TRUE(memory().holds(0, 0));
  memory().restore(kSlot, 1);
  ASSERT_TRUE(memory().holds(1, kLong));
  EXPECT_EQ(from_copy(1, kLong, expected[0]), expected);
}

TEST_P(Sequences, ACutIsBelievedOnlyWhereItIsWhole) {
  const std::vector<Token> expected = alone(kShort);
  (void)fill(0, 0, kLong);
  memory().cut(0, kShort);
  const bool there = memory().holds(0, kShort);
  EXPECT_TRUE(there || kind() != MemoryKind::anywhere);
  if (there) {
    EXPECT_EQ(from_copy(0, kShort, expected[0]), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Sequences,
                         ::testing::Values("llama", "gemma3", "deepseek2", "deepseek32",
                                           "deepseek4", "qwen3next", "mamba"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace deepmoat::engine
