// Embeddings and ranking by a real worker with tiny models (tests/models).
#include <gtest/gtest.h>

#include <cmath>

#include "worker/worker_fixture.h"

namespace deepmoat::worker {
namespace {

wire::ToWorker embed_call(std::uint64_t id, const std::vector<std::string>& texts,
                          const std::string& tenant = "t") {
  wire::ToWorker frame;
  wire::InferRequest& infer = *frame.mutable_infer();
  infer.set_call_id(id);
  infer.set_tenant(tenant);
  infer.set_tenant_salt(tenant);
  for (const std::string& text : texts) {
    infer.mutable_embed()->add_inputs()->set_text(text);
  }
  infer.mutable_embed();
  return frame;
}

wire::ToWorker rerank_call(std::uint64_t id, const std::string& query,
                           const std::vector<std::string>& documents) {
  wire::ToWorker frame;
  frame.mutable_infer()->set_call_id(id);
  frame.mutable_infer()->mutable_rerank()->set_query(query);
  for (const std::string& document : documents) {
    frame.mutable_infer()->mutable_rerank()->add_documents(document);
  }
  return frame;
}

double product(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    sum += static_cast<double>(a[i]) * b[i];
  }
  return sum;
}

class Vectors : public ::testing::Test {
 protected:
  void start(const std::string& model, const std::vector<std::string>& more = {}) {
    ASSERT_FALSE(tiny(model).empty()) << "run ./test, or set DEEPMOAT_MODEL to a GGUF file";
    std::vector<std::string> flags = more;
    flags.insert(flags.end(), {"--threads", "1"});
    worker_ = std::make_unique<WorkerProcess>(flags_of(tiny(model), flags));
    ASSERT_TRUE(worker_->wait_until_ready()) << worker_->fatal;
  }
  CallRecord& ask(const wire::ToWorker& frame) {
    worker_->send(frame);
    EXPECT_TRUE(worker_->wait_for({frame.infer().call_id()})) << worker_->fatal;
    return worker_->calls[frame.infer().call_id()];
  }
  std::unique_ptr<WorkerProcess> worker_;
};

TEST_F(Vectors, AreOfLengthOneAndTheSameInOneBatchAsAlone) {
  start("bert");
  EXPECT_EQ(worker_->ready->task(), "embed");
  EXPECT_EQ(worker_->ready->embedding_width(), 64U);
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i) {  // more than one batch takes
    texts.push_back("text " + std::to_string(i) + std::string(static_cast<std::size_t>(i), 'x'));
  }
  const CallRecord& all = ask(embed_call(1, texts));
  ASSERT_EQ(all.vectors.size(), texts.size());
  EXPECT_GT(all.finished->usage().prompt_tokens(), 100U);
  for (const int i : {0, 42, 99}) {
    const auto at = static_cast<std::size_t>(i);
    const CallRecord& one = ask(embed_call(static_cast<std::uint64_t>(1000 + i), {texts[at]}));
    ASSERT_EQ(one.vectors.size(), 1U);
    EXPECT_NEAR(product(one.vectors[0], one.vectors[0]), 1, 1e-4);
    EXPECT_NEAR(product(one.vectors[0], all.vectors[at]), 1, 1e-4);
  }
  EXPECT_LT(product(all.vectors[0], all.vectors[50]), 0.999) << "different texts differ";
}

TEST_F(Vectors, FewerDimensionsAreCutAndScaledAgain) {
  start("bert");
  const std::vector<float> whole = ask(embed_call(1, {"hello"})).vectors.at(0);
  auto frame = embed_call(2, {"hello"});
  frame.mutable_infer()->mutable_embed()->set_dimensions(16);
  const std::vector<float> cut = ask(frame).vectors.at(0);
  ASSERT_EQ(cut.size(), 16U);
  EXPECT_NEAR(product(cut, cut), 1, 1e-4);
  EXPECT_NEAR(cut[3] / cut[7], whole[3] / whole[7], 1e-3);
  frame.mutable_infer()->set_call_id(3);
  frame.mutable_infer()->mutable_embed()->set_dimensions(65);
  EXPECT_EQ(ask(frame).refused->kind(), wire::Refused::INVALID);
}

TEST_F(Vectors, WhatIsTooLongIsNamedWithItsNumbers) {
  start("bert");
  const CallRecord& call = ask(embed_call(1, {"short", std::string(5000, 'q')}));
  ASSERT_TRUE(call.refused.has_value());
  EXPECT_EQ(call.refused->kind(), wire::Refused::CONTEXT_EXCEEDED);
  EXPECT_EQ(call.refused->param(), "input");
  EXPECT_NE(call.refused->message().find("input[1]"), std::string::npos);
  EXPECT_NE(call.refused->message().find("512"), std::string::npos);
  EXPECT_EQ(ask(embed_call(2, {})).refused->kind(), wire::Refused::INVALID);
  EXPECT_EQ(ask(embed_call(3, {""})).refused->kind(), wire::Refused::INVALID);
}

TEST_F(Vectors, AnotherTenantsOneTextDoesNotWaitForAThousand) {
  start("bert");
  worker_->send(embed_call(1, std::vector<std::string>(2000, std::string(200, 'z')), "large"));
  worker_->send(embed_call(2, {"one"}, "small"));
  ASSERT_TRUE(worker_->wait_for({2}));
  EXPECT_FALSE(worker_->calls[1].ended()) << "it came later and ended first";
  worker_->send_cancel(1);
  ASSERT_TRUE(worker_->wait_for({1}));
  EXPECT_TRUE(worker_->calls[1].finished->cancelled());
  EXPECT_LT(worker_->calls[1].vectors.size(), 2000U);
}

TEST_F(Vectors, ARankingModelScoresEveryDocument) {
  start("bert-rank");
  EXPECT_EQ(worker_->ready->task(), "rerank");
  const CallRecord& all = ask(rerank_call(1, "what is a cat?", {"a cat", "a boat", "a cat"}));
  ASSERT_EQ(all.scores.size(), 3U);
  EXPECT_NEAR(all.scores[0], all.scores[2], 1e-4);
  EXPECT_GT(std::abs(all.scores[0] - all.scores[1]), 1e-3);
  EXPECT_GT(all.finished->usage().prompt_tokens(), 6U);
}

TEST_F(Vectors, AModelRefusesWhatItIsNotFor) {
  start("bert");
  EXPECT_EQ(ask(rerank_call(1, "q", {"d"})).refused->kind(), wire::Refused::UNSUPPORTED);
  const CallRecord& chat = ask(chat_call(2, "hello", 4));
  ASSERT_TRUE(chat.refused.has_value());
  EXPECT_EQ(chat.refused->kind(), wire::Refused::UNSUPPORTED);
  EXPECT_NE(chat.refused->message().find("generate"), std::string::npos);
  start("llama");
  EXPECT_EQ(worker_->ready->task(), "generate");
  const CallRecord& embed = ask(embed_call(3, {"hello"}));
  ASSERT_TRUE(embed.refused.has_value());
  EXPECT_EQ(embed.refused->kind(), wire::Refused::UNSUPPORTED);
  EXPECT_NE(embed.refused->message().find("task = \"embed\""), std::string::npos);
}

TEST_F(Vectors, AGeneratingModelMakesVectorsWhenItIsToldTo) {
  start("llama", {"--task", "embed", "--pooling", "last", "--cells", "512"});
  EXPECT_EQ(worker_->ready->task(), "embed");
  const CallRecord& call = ask(embed_call(1, {"one", "two", "one"}));
  ASSERT_EQ(call.vectors.size(), 3U);
  EXPECT_NEAR(product(call.vectors[0], call.vectors[2]), 1, 1e-4);
  EXPECT_LT(product(call.vectors[0], call.vectors[1]), 0.999);
}

}  // namespace
}  // namespace deepmoat::worker
