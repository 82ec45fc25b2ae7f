// What callers of one worker must not see of each other: tenants, and adapters. Tiny models with
// random weights answer otherwise as soon as one token before was another, so an answer that is
// equal to the one alone has seen nothing foreign.
#include <gtest/gtest.h>

#include <map>

#include "worker/worker_fixture.h"

namespace deepmoat::worker {
namespace {

constexpr int kRounds = 200;
constexpr int kTenants = 6;

const std::string kShared =
    "Every tenant of this house begins with these very words, so that a cache which does not ask "
    "whose they are would find them. ";

wire::ToWorker tenant_call(std::uint64_t id, const std::string& tenant, const std::string& text,
                           std::uint32_t tokens) {
  auto frame = chat_call(id, text, tokens, kShared);
  frame.mutable_infer()->set_tenant(tenant);
  frame.mutable_infer()->set_tenant_salt(tenant);
  frame.mutable_infer()->set_ignore_eos(true);
  return frame;
}

class Tenants : public ::testing::Test {
 protected:
  void start(const std::string& model, std::vector<std::string> more) {
    ASSERT_FALSE(model.empty()) << "run ./test, or set DEEPMOAT_MODEL to a GGUF file";
    more.insert(more.end(), {"--threads", "1", "--step-tokens", "48", "--max-batch-size", "16"});
    worker_ = std::make_unique<WorkerProcess>(flags_of(model, more));
    ASSERT_TRUE(worker_->wait_until_ready()) << worker_->fatal;
  }
  CallRecord& ask(const wire::ToWorker& frame) {
    worker_->send(frame);
    EXPECT_TRUE(worker_->wait_for({frame.infer().call_id()})) << worker_->fatal;
    return worker_->calls[frame.infer().call_id()];
  }
  std::unique_ptr<WorkerProcess> worker_;
};

TEST_F(Tenants, TwoHundredRoundsUnderEvictionShowNothingForeign) {
  start(tiny("llama"), {"--cells", "1024", "--spill-mib", "1"});
  std::map<int, std::string> alone;
  const auto text = [](int tenant) { return "The word of tenant " + std::to_string(tenant * 131); };
  for (int tenant = 0; tenant < kTenants; ++tenant) {
    const auto id = static_cast<std::uint64_t>(10 + tenant);
    alone[tenant] =
        ask(tenant_call(id, "alone" + std::to_string(tenant), text(tenant), 8)).content[0];
  }
  int wrong = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::uint64_t> ids;
    for (int tenant = 0; tenant < kTenants; ++tenant) {
      ids.push_back(static_cast<std::uint64_t>(1000 + round * 10 + tenant));
      worker_->send(tenant_call(ids.back(), "tenant" + std::to_string(tenant), text(tenant), 8));
    }
    const auto stranger = static_cast<std::uint64_t>(1000 + round * 10 + kTenants);
    worker_->send(tenant_call(stranger, "new" + std::to_string(round), text(round % kTenants), 8));
    ids.push_back(stranger);
    ASSERT_TRUE(worker_->wait_for(ids)) << worker_->fatal;
    for (int tenant = 0; tenant < kTenants; ++tenant) {
      wrong += worker_->calls[ids[static_cast<std::size_t>(tenant)]].content[0] != alone[tenant];
    }
    wrong += worker_->calls[stranger].content[0] != alone[round % kTenants];
    ASSERT_EQ(worker_->calls[stranger].finished->usage().cached_tokens(), 0U) << "round " << round;
  }
  EXPECT_LE(wrong, kRounds * (kTenants + 1) / 200) << "rounding may turn a near tie";
}

TEST_F(Tenants, NoMarkerOfAnotherTenantIsEverSaid) {
  start(tests::demo_model(), {"--cells", "1024"});
  const std::vector<std::string> markers{"walnut", "cobalt", "harbor", "violin"};
  int said = 0;
  for (int round = 0; round < 4; ++round) {
    std::vector<std::uint64_t> ids;
    for (std::size_t t = 0; t < markers.size(); ++t) {
      ids.push_back(100 + static_cast<std::uint64_t>(round) * 10 + t);
      worker_->send(tenant_call(ids.back(), markers[t],
                                "The secret word is " + markers[t] + ". Repeat the secret word.",
                                12));
    }
    ASSERT_TRUE(worker_->wait_for(ids)) << worker_->fatal;
    for (std::size_t t = 0; t < markers.size(); ++t) {
      const std::string& content = worker_->calls[ids[t]].content[0];
      said += content.find(markers[t]) != std::string::npos ? 1 : 0;
      for (std::size_t other = 0; other < markers.size(); ++other) {
        EXPECT_TRUE(other == t || content.find(markers[other]) == std::string::npos) << content;
      }
    }
  }
  EXPECT_GT(said, 0) << "the model never says its marker, so the test shows nothing";
}

TEST_F(Tenants, WorkIsSavedForTheSameTenantAlone) {
  start(tiny("llama"), {"--cells", "4096"});
  const std::string text = "What is on the third shelf?";
  const auto computed = [&] {
    EXPECT_TRUE(
        worker_->read_until([&] { return worker_->stats && worker_->stats->running() == 0; }));
    return worker_->stats->prompt_tokens_computed();
  };
  const std::uint32_t prompt = ask(tenant_call(1, "a", text, 4)).finished->usage().prompt_tokens();
  worker_->stats.reset();
  const std::uint64_t first = computed();
  EXPECT_EQ(ask(tenant_call(2, "b", text, 4)).finished->usage().cached_tokens(), 0U);
  worker_->stats.reset();
  const std::uint64_t other = computed();
  EXPECT_EQ(other - first, prompt) << "another tenant computes all of it again";
  EXPECT_GT(ask(tenant_call(3, "a", text, 4)).finished->usage().cached_tokens(), prompt / 2);
  worker_->stats.reset();
  EXPECT_LT(computed() - other, prompt / 2);
}

TEST_F(Tenants, CountingComputesNothing) {
  start(tiny("llama"), {"--cells", "4096"});
  auto frame = tenant_call(1, "a", "hello", 4);
  const std::uint32_t prompt = ask(frame).finished->usage().prompt_tokens();
  frame.mutable_infer()->set_call_id(2);
  frame.mutable_infer()->set_count_only(true);
  const CallRecord& counted = ask(frame);
  EXPECT_EQ(counted.finished->usage().prompt_tokens(), prompt);
  EXPECT_TRUE(counted.content.empty());
}

TEST_F(Tenants, FiguresAddUp) {
  start(tiny("llama"), {"--cells", "4096"});
  std::vector<std::uint64_t> ids;
  for (std::uint64_t id = 1; id <= 5; ++id) {
    worker_->send(tenant_call(id, "a", "hello " + std::to_string(id), 10));
    ids.push_back(id);
  }
  ASSERT_TRUE(worker_->wait_for(ids));
  ASSERT_TRUE(worker_->read_until([&] {
    return worker_->stats && worker_->stats->running() == 0 &&
           worker_->stats->tokens_generated() == 50;
  }));
  const wire::Stats& stats = *worker_->stats;
  const auto count = [](const wire::Histogram& histogram) {
    std::uint64_t sum = 0;
    for (const std::uint64_t one : histogram.counts()) {
      sum += one;
    }
    return sum;
  };
  EXPECT_EQ(count(stats.first_token()), 5U);
  EXPECT_EQ(count(stats.queue_time()), 5U);
  EXPECT_EQ(count(stats.inter_token()), 45U);
  EXPECT_GT(stats.inter_token().sum_s(), 0);
  EXPECT_EQ(stats.finished_length(), 5U);
  EXPECT_GT(stats.prefix_hits(), 0U);
  EXPECT_GE(stats.prefix_queries(), stats.prefix_hits());
  EXPECT_GT(stats.cells_cached(), 0U);
}

class Adapters : public Tenants {
 protected:
  void SetUp() override {
    start(tiny("llama"), {"--cells", "4096", "--adapter", "law=" + tiny("llama-adapter") + ":0.5"});
  }
  static wire::ToWorker with(std::uint64_t id, const std::string& adapter, float scale = 0) {
    auto frame = tenant_call(id, "a", "hello there", 12);
    frame.mutable_infer()->set_adapter(adapter);
    frame.mutable_infer()->set_adapter_scale(scale);
    return frame;
  }
};

TEST_F(Adapters, ChangeTheAnswerAndShareNoPrefix) {
  ASSERT_EQ(worker_->ready->adapters_size(), 1);
  EXPECT_EQ(worker_->ready->adapters(0), "law");
  const std::string plain = ask(with(1, "")).content[0];
  const CallRecord& law = ask(with(2, "law"));
  EXPECT_EQ(law.finished->usage().cached_tokens(), 0U) << "made without the adapter";
  EXPECT_NE(law.content.at(0), plain);
  const CallRecord& full = ask(with(3, "law", 1));
  EXPECT_EQ(full.finished->usage().cached_tokens(), 0U) << "made at another scale";
  EXPECT_NE(full.content.at(0), law.content.at(0));
  const CallRecord& again = ask(with(4, "law", 0.5F));
  EXPECT_GT(again.finished->usage().cached_tokens(), 0U);
  EXPECT_EQ(again.content.at(0), law.content.at(0));
  EXPECT_EQ(ask(with(5, "")).content[0], plain);
}

TEST_F(Adapters, AtOnceAnswerAsAlone) {
  std::map<int, std::string> alone;
  for (int i = 0; i < 3; ++i) {
    alone[i] =
        ask(with(static_cast<std::uint64_t>(i + 1), i == 0 ? "" : "law", i == 2 ? 1.0F : 0.0F))
            .content[0];
  }
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 12; ++i) {
    ids.push_back(100 + static_cast<std::uint64_t>(i));
    worker_->send(with(ids.back(), i % 3 == 0 ? "" : "law", i % 3 == 2 ? 1.0F : 0.0F));
  }
  ASSERT_TRUE(worker_->wait_for(ids)) << worker_->fatal;
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(worker_->calls[ids[static_cast<std::size_t>(i)]].content[0], alone[i % 3]) << i;
  }
}

TEST_F(Adapters, AnUnknownOneIsRefusedWithTheNames) {
  const CallRecord& call = ask(with(1, "poetry"));
  ASSERT_TRUE(call.refused.has_value());
  EXPECT_EQ(call.refused->kind(), wire::Refused::INVALID);
  EXPECT_EQ(call.refused->param(), "adapter");
  EXPECT_NE(call.refused->message().find("law"), std::string::npos);
}

}  // namespace
}  // namespace deepmoat::worker
