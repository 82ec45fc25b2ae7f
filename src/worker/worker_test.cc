// The real worker with a real model (DEEPMOAT_MODEL names the file; ./test sets it).
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/backends.h"
#include "worker/options.h"
#include "worker/worker_process.h"

namespace deepmoat::worker {
namespace {

std::string model_file() {
  const char* file = std::getenv("DEEPMOAT_MODEL");
  return file == nullptr ? "" : file;
}

// Flags that avoid CPU variants which die here, found once.
std::vector<std::string> working_flags(std::vector<std::string> more = {}) {
  static const std::vector<std::string> flags = [] {
    std::vector<std::string> found{"--model", model_file(), "--cells", "8192"};
    for (int tries = 0; tries < 16; ++tries) {
      WorkerProcess worker(found);
      if (worker.wait_until_ready() || worker.wait_for_exit() != kExitIllegal) {
        break;
      }
      found.insert(found.end(), {"--cpu-variant-avoid", worker.tried_variant});
    }
    return found;
  }();
  more.insert(more.begin(), flags.begin(), flags.end());
  return more;
}

class RealWorker : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_FALSE(model_file().empty()) << "run ./test, or set DEEPMOAT_MODEL to a GGUF file";
  }
};

const std::string kRules =
    "You are the assistant of a library. Answer in one short sentence. Never mention prices. Be "
    "polite, name the shelf if you know it, and say so when you do not know something.";

std::string question(int i) {
  return "Question " + std::to_string(i) + ": what is " + std::to_string(i) + " plus two?";
}

// Batches of 64 rows and more take other kernels, whose sums are rounded otherwise, and a single
// row is divided over the threads. Without both the tokens must not depend on what else runs, nor
// on where a prefix comes from.
const std::vector<std::string> kExact = {"--step-tokens", "48", "--max-batch-size", "16",
                                         "--threads",     "1"};

struct LoadResult {
  int same = 0;
  std::uint32_t cached = 0;
};

// 16 greedy calls one by one, then the same at once.
LoadResult alone_and_under_load(WorkerProcess& worker) {
  std::map<int, std::string> alone;
  for (int i = 0; i < 16; ++i) {
    worker.send(chat_call(100 + i, question(i), 24, i % 2 == 0 ? kRules : ""));
    EXPECT_TRUE(worker.wait_for({100ULL + i}));
    alone[i] = worker.calls[100 + i].content[0];
    EXPECT_FALSE(alone[i].empty());
  }
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 16; ++i) {
    auto frame = chat_call(200 + i, question(i), 24, i % 2 == 0 ? kRules : "");
    frame.mutable_infer()->set_tenant_salt("another");
    worker.send(frame);
    ids.push_back(200 + i);
  }
  EXPECT_TRUE(worker.wait_for(ids));
  LoadResult result;
  for (int i = 0; i < 16; ++i) {
    CallRecord& call = worker.calls[200 + i];
    result.same += call.content[0] == alone[i] ? 1 : 0;
    EXPECT_EQ(call.finished->usage().completion_tokens(), call.delta_tokens[0]);
    result.cached += call.finished->usage().cached_tokens();
  }
  return result;
}

TEST_F(RealWorker, GreedyAnswersAreTheSameAloneAndUnderLoad) {
  WorkerProcess worker(working_flags(kExact));
  ASSERT_TRUE(worker.wait_until_ready());
  EXPECT_TRUE(worker.ready->chat());
  EXPECT_NE(worker.ready->sandbox().find("seccomp"), std::string::npos);
  const LoadResult result = alone_and_under_load(worker);
  EXPECT_EQ(result.same, 16);
  EXPECT_GT(result.cached, 7U * 30U) << "seven of eight calls share the rules";
}

TEST_F(RealWorker, LargeBatchesAnswerAsWell) {
  WorkerProcess worker(working_flags());
  ASSERT_TRUE(worker.wait_until_ready());
  const LoadResult result = alone_and_under_load(worker);
  EXPECT_GE(result.same, 8) << "rounding alone does not change most answers";
  EXPECT_GT(result.cached, 7U * 30U);
}

TEST_F(RealWorker, AFirstCallOfASaltReadsNothingFromTheCache) {
  WorkerProcess worker(working_flags());
  ASSERT_TRUE(worker.wait_until_ready());
  for (const auto& [id, salt] :
       std::map<std::uint64_t, std::string>{{1, "a"}, {2, "b"}, {3, "a"}}) {
    auto frame = chat_call(id, "Hello there", 4, kRules);
    frame.mutable_infer()->set_tenant_salt(salt);
    worker.send(frame);
    ASSERT_TRUE(worker.wait_for({id}));
  }
  EXPECT_EQ(worker.calls[2].finished->usage().cached_tokens(), 0U);
  EXPECT_EQ(worker.calls[3].finished->usage().cached_tokens(),
            worker.calls[3].finished->usage().prompt_tokens() - 1);
  EXPECT_EQ(worker.calls[1].content[0], worker.calls[2].content[0]);
  EXPECT_EQ(worker.calls[1].content[0], worker.calls[3].content[0]);
}

TEST_F(RealWorker, ACancelEndsTheCallAndFreesItsCells) {
  WorkerProcess worker(working_flags());
  ASSERT_TRUE(worker.wait_until_ready());
  auto frame = chat_call(1, "Tell me a long story", 2000);
  frame.mutable_infer()->set_ignore_eos(true);
  worker.send(frame);
  ASSERT_TRUE(worker.read_until([&] { return worker.calls[1].delta_tokens[0] >= 3; }));
  worker.send_cancel(1);
  ASSERT_TRUE(worker.wait_for({1}));
  EXPECT_TRUE(worker.calls[1].finished->cancelled());
  EXPECT_LT(worker.calls[1].finished->usage().completion_tokens(), 200U);
  ASSERT_TRUE(worker.read_until([&] { return worker.stats && worker.stats->running() == 0; }));
  EXPECT_EQ(worker.stats->cells_used(), 0U);
}

TEST_F(RealWorker, SeveralChoicesOfOneSeedDifferAndRepeat) {
  WorkerProcess worker(working_flags());
  ASSERT_TRUE(worker.wait_until_ready());
  for (const std::uint64_t id : {1, 2}) {
    auto frame = chat_call(id, "Invent a name for a cat", 16);
    frame.mutable_infer()->set_n(3);
    frame.mutable_infer()->mutable_sampling()->set_temperature(1.2F);
    frame.mutable_infer()->mutable_sampling()->set_seed(42);
    worker.send(frame);
    ASSERT_TRUE(worker.wait_for({id}));
  }
  EXPECT_EQ(worker.calls[1].reasons.size(), 3U);
  EXPECT_EQ(worker.calls[1].content, worker.calls[2].content);
  EXPECT_NE(worker.calls[1].content[0], worker.calls[1].content[1]);
}

TEST_F(RealWorker, AStopTextEndsTheAnswerBeforeItself) {
  WorkerProcess worker(working_flags());
  ASSERT_TRUE(worker.wait_until_ready());
  worker.send(chat_call(1, "Count from one to ten in words, with commas.", 40));
  ASSERT_TRUE(worker.wait_for({1}));
  const std::string whole = worker.calls[1].content[0];
  ASSERT_GT(whole.size(), 20U);
  const std::string stop = whole.substr(9, 7);
  auto frame = chat_call(2, "Count from one to ten in words, with commas.", 40);
  frame.mutable_infer()->add_stop(stop);
  worker.send(frame);
  ASSERT_TRUE(worker.wait_for({2}));
  EXPECT_EQ(worker.calls[2].content[0], whole.substr(0, whole.find(stop)));
  EXPECT_EQ(worker.calls[2].reasons[0], wire::FINISH_STOP);
}

TEST_F(RealWorker, WhatCannotFitIsRefusedWithNumbers) {
  WorkerProcess worker(working_flags());
  ASSERT_TRUE(worker.wait_until_ready());
  worker.send(chat_call(1, "Hello", 1'000'000));
  ASSERT_TRUE(worker.wait_for({1}));
  ASSERT_TRUE(worker.calls[1].refused.has_value());
  EXPECT_EQ(worker.calls[1].refused->kind(), wire::Refused::CONTEXT_EXCEEDED);
  EXPECT_NE(worker.calls[1].refused->message().find(std::to_string(worker.ready->context_tokens())),
            std::string::npos);
}

TEST_F(RealWorker, ADrainFinishesWhatRunsAndRefusesWhatIsNew) {
  WorkerProcess worker(working_flags());
  ASSERT_TRUE(worker.wait_until_ready());
  worker.send(chat_call(1, "Hello", 20));
  wire::ToWorker drain;
  drain.mutable_drain();
  ASSERT_TRUE(worker.read_until([&] { return worker.calls[1].delta_tokens[0] >= 1; }));
  worker.send(drain);
  worker.send(chat_call(2, "Hello", 20));
  ASSERT_TRUE(worker.wait_for({1, 2}));
  EXPECT_TRUE(worker.calls[1].finished.has_value());
  EXPECT_EQ(worker.calls[2].refused->kind(), wire::Refused::DRAINING);
  EXPECT_EQ(worker.wait_for_exit(), kExitDone);
}

TEST_F(RealWorker, GoesWhenTheGatewayIsGone) {
  WorkerProcess worker(working_flags());
  ASSERT_TRUE(worker.wait_until_ready());
  worker.send(chat_call(1, "Tell me a long story", 2000));
  worker.hang_up();
  EXPECT_EQ(worker.wait_for_exit(), kExitDone);
}

const std::vector<std::string> kExactSplit = {"--step-tokens", "48", "--max-batch-size", "8",
                                              "--split-memory"};

TEST_F(RealWorker, SplitMemoryGivesTheSameAnswers) {
  std::map<int, std::string> answers;
  for (const bool split : {false, true}) {
    WorkerProcess worker(working_flags(split ? kExactSplit : kExact));
    ASSERT_TRUE(worker.wait_until_ready()) << worker.fatal;
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < 8; ++i) {
      worker.send(chat_call(i, question(i), 12, i % 2 == 0 ? kRules : ""));
      ids.push_back(i);
    }
    ASSERT_TRUE(worker.wait_for(ids));
    for (int i = 0; i < 8; ++i) {
      const std::string& content = worker.calls[i].content[0];
      EXPECT_TRUE(!split || answers[i] == content) << question(i) << content;
      answers[i] = content;
    }
  }
}

TEST(Worker, ANonModelIsNamedAndEndsOneWorker) {
  const auto variants = engine::rank_cpu_variants(engine::default_engine_dir());
  ASSERT_TRUE(variants.has_value());
  WorkerProcess worker({"--model", "/etc/hostname", "--cpu-variant", variants->back().name});
  EXPECT_FALSE(worker.wait_until_ready());
  EXPECT_NE(worker.fatal.find("/etc/hostname"), std::string::npos) << worker.fatal;
  EXPECT_EQ(worker.wait_for_exit(), kExitFailed);
}

}  // namespace
}  // namespace deepmoat::worker
