#include "backend/replica_set.h"

#include <gtest/gtest.h>

#include <array>

#include "backend/scratch_backend.h"

namespace deepmoat::backend {
namespace {

wire::InferRequest chat(const std::string& salt, const std::vector<std::string>& messages) {
  wire::InferRequest request;
  request.set_tenant_salt(salt);
  for (const std::string& message : messages) {
    wire::ChatMessage& added = *request.mutable_chat()->add_messages();
    added.set_role("user");
    added.set_content(message);
  }
  return request;
}

std::string text(char letter, std::size_t bytes) {
  return std::string(bytes, letter);
}

class ReplicaSetTest : public testing::Test {
 protected:
  void SetUp() override { make({}); }

  void make(ReplicaChoice choice) {
    set_.reset();
    std::vector<std::unique_ptr<Backend>> backends;
    for (auto& script : scripts_) {
      script = std::make_shared<Script>();
      backends.push_back(std::make_unique<ScriptedBackend>(script));
    }
    set_ = std::make_unique<ReplicaSet>(std::move(backends), choice);
  }

  // Which replica took the call.
  int submit(wire::InferRequest request) {
    std::array<int, 3> before{};
    for (int i = 0; i < 3; ++i) {
      before[i] = scripts_[i]->submitted();
    }
    last_id_ = set_->submit(std::move(request), [](const InferenceEvent&) {});
    for (int i = 0; i < 3; ++i) {
      if (scripts_[i]->submitted() > before[i]) {
        return i;
      }
    }
    return -1;
  }
  int submit_and_finish(wire::InferRequest request) {
    const int taken = submit(std::move(request));
    scripts_[taken]->finish_all();
    return taken;
  }

  std::array<std::shared_ptr<Script>, 3> scripts_;
  std::unique_ptr<ReplicaSet> set_;
  CallId last_id_;
};

TEST_F(ReplicaSetTest, ConversationStaysWhereItsStartIsCached) {
  const std::string system = text('s', 2000);
  const int first = submit_and_finish(chat("t", {system, "one"}));
  for (int turn = 0; turn < 20; ++turn) {
    submit_and_finish(chat("t", {text(static_cast<char>('a' + turn), 3000)}));
    EXPECT_EQ(submit_and_finish(chat("t", {system, "question " + std::to_string(turn)})), first);
  }
}

TEST_F(ReplicaSetTest, NewPromptsGoRoundAndToTheLeastBusy) {
  std::array<int, 3> taken{};
  for (int i = 0; i < 9; ++i) {
    ++taken[submit(chat("t", {text(static_cast<char>('a' + i), 1000)}))];
  }
  EXPECT_EQ(taken, (std::array<int, 3>{3, 3, 3}));
  scripts_[1]->finish_all();
  EXPECT_EQ(submit(chat("t", {text('z', 1000)})), 1);
}

TEST_F(ReplicaSetTest, TenantsDoNotFollowEachOther) {
  const std::string system = text('s', 2000);
  const auto of_a = prompt_blocks(chat("a", {system}));
  const auto of_b = prompt_blocks(chat("b", {system}));
  ASSERT_EQ(of_a.size(), of_b.size());
  for (std::size_t i = 0; i < of_a.size(); ++i) {
    EXPECT_NE(of_a[i], of_b[i]);
  }
}

TEST_F(ReplicaSetTest, ShortMatchIsNoReason) {
  const std::string start = text('s', 600);
  const int first = submit(chat("t", {start, text('x', 600)}));
  EXPECT_NE(submit(chat("t", {start, text('y', 9000)})), first) << "6 % of it are cached there";
}

TEST_F(ReplicaSetTest, FarAheadIsNotPreferred) {
  make({.ahead_max = 4});
  const auto request = chat("t", {text('s', 2000)});
  const int first = submit(request);
  int elsewhere = 0;
  for (int i = 0; i < 8; ++i) {
    elsewhere += submit(request) == first ? 0 : 1;
  }
  EXPECT_GT(elsewhere, 0);
  EXPECT_LE(scripts_[first]->running(), 6);
}

TEST_F(ReplicaSetTest, UnhealthyOnesAreLeftOut) {
  const auto request = chat("t", {text('s', 2000)});
  const int first = submit_and_finish(request);
  scripts_[first]->set_health(Health::restarting);
  for (int i = 0; i < 6; ++i) {
    EXPECT_NE(submit_and_finish(request), first);
  }
  EXPECT_EQ(set_->health(), Health::ready);
  for (const auto& script : scripts_) {
    script->set_health(Health::restarting);
  }
  EXPECT_EQ(set_->health(), Health::restarting);
  EXPECT_GE(submit(request), 0) << "one of them may come back while the call waits";
}

TEST_F(ReplicaSetTest, CancelFindsItsReplica) {
  const int taken = submit(chat("t", {"hello"}));
  EXPECT_EQ(scripts_[taken]->running(), 1);
  set_->cancel(last_id_);
  EXPECT_EQ(scripts_[taken]->running(), 0);
}

TEST_F(ReplicaSetTest, StatusAddsUp) {
  submit(chat("t", {"a"}));
  submit(chat("t", {"b"}));
  EXPECT_EQ(set_->status().stats.running(), 2U);
  EXPECT_EQ(set_->replicas().size(), 3U);
  std::vector<BackendStatus> two(2);
  for (BackendStatus& one : two) {
    one.stats.set_tokens_generated(5);
    one.stats.mutable_first_token()->add_bounds(1);
    one.stats.mutable_first_token()->add_counts(2);
    one.stats.mutable_first_token()->add_counts(3);
    one.stats.mutable_first_token()->set_sum_s(0.5);
  }
  const wire::Stats sum = sum_of(two);
  EXPECT_EQ(sum.tokens_generated(), 10U);
  EXPECT_EQ(sum.first_token().counts(1), 6U);
  EXPECT_EQ(sum.first_token().sum_s(), 1.0);
}

TEST(Affinity, ForgetsWhatWasNotUsed) {
  Affinity affinity(100);
  affinity.note({1, 2}, 7);
  for (std::uint64_t i = 1000; i < 1040; ++i) {
    affinity.note({i}, 1);
  }
  ASSERT_TRUE(affinity.find({1, 2}));
  EXPECT_EQ(affinity.find({1, 2})->replica, 7U);
  EXPECT_EQ(affinity.find({1, 2, 3})->blocks, 2U);
  for (std::uint64_t i = 2000; i < 2200; ++i) {
    affinity.note({i}, 1);
  }
  EXPECT_FALSE(affinity.find({1, 2}));
}

}  // namespace
}  // namespace deepmoat::backend
