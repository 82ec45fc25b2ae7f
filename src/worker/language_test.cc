// Formats, tools and logprobs through a worker's frames, with the demo model (DEEPMOAT_MODEL).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/backends.h"
#include "worker/worker_process.h"

namespace deepmoat::worker {
namespace {

using Json = nlohmann::json;

constexpr const char* kSchema =
    R"({"type":"object","properties":{"city":{"type":"string","maxLength":8},)"
    R"("days":{"type":"integer","minimum":1,"maximum":5}},"required":["city","days"],)"
    R"("additionalProperties":false})";

bool fits(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  return json.is_object() && json.size() == 2 && json.contains("city") && json.contains("days") &&
         json.at("city").is_string() && json.at("days") >= 1 && json.at("days") <= 5;
}

class RealWorkerLanguage : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* file = std::getenv("DEEPMOAT_MODEL");
    ASSERT_NE(file, nullptr) << "run ./test, or set DEEPMOAT_MODEL to a GGUF file";
    // The plainest CPU variant runs everywhere.
    const auto variants = engine::rank_cpu_variants(engine::default_engine_dir());
    ASSERT_TRUE(variants.has_value());
    const auto plainest = std::find_if(variants->rbegin(), variants->rend(),
                                       [](const auto& variant) { return variant.score > 0; });
    ASSERT_NE(plainest, variants->rend());
    worker_.emplace(std::vector<std::string>{"--model", file, "--cells", "4096", "--threads", "1",
                                             "--cpu-variant", plainest->name});
    worker_->on_frame = [this](const wire::FromWorker& frame) { note(frame); };
    ASSERT_TRUE(worker_->wait_until_ready()) << worker_->fatal;
  }

  void note(const wire::FromWorker& frame) {
    const std::uint64_t id = frame.delta().call_id();
    for (const wire::ToolCallDelta& call : frame.delta().tool_calls()) {
      tools_[id].resize(std::max<std::size_t>(tools_[id].size(), call.index() + 1));
      tools_[id][call.index()].first += call.name();
      tools_[id][call.index()].second += call.arguments();
    }
    for (const wire::Logprob& logprob : frame.delta().logprobs()) {
      logprobs_[id].push_back(logprob);
    }
    if (frame.has_choice_finished()) {
      stop_texts_[frame.choice_finished().call_id()] = frame.choice_finished().stop_text();
    }
  }

  std::optional<WorkerProcess> worker_;
  std::map<std::uint64_t, std::vector<std::pair<std::string, std::string>>> tools_;
  std::map<std::uint64_t, std::vector<wire::Logprob>> logprobs_;
  std::map<std::uint64_t, std::string> stop_texts_;
};

TEST_F(RealWorkerLanguage, AnswersAreHeldToFormatsAndTools) {
  EXPECT_TRUE(worker_->ready->tools());
  auto schema = chat_call(1, "Which city, for how many days?", 200);
  schema.mutable_infer()->mutable_format()->set_json_schema(kSchema);
  auto choice = chat_call(2, "Is the sky green?", 50);
  choice.mutable_infer()->mutable_format()->set_grammar(R"(root ::= "yes" | "no")");
  auto tool = chat_call(3, "What is the weather in Paris for 2 days?", 200);
  wire::Tool& one = *tool.mutable_infer()->mutable_chat()->add_tools();
  one.set_name("get_weather");
  one.set_parameters(kSchema);
  tool.mutable_infer()->mutable_chat()->set_tool_choice(wire::TOOL_REQUIRED);
  for (const auto& frame : {schema, choice, tool}) {
    worker_->send(frame);
  }
  ASSERT_TRUE(worker_->wait_for({1, 2, 3}));
  EXPECT_TRUE(fits(worker_->calls[1].content[0])) << worker_->calls[1].content[0];
  EXPECT_TRUE(worker_->calls[2].content[0] == "yes" || worker_->calls[2].content[0] == "no");
  ASSERT_GE(tools_[3].size(), 1U) << worker_->calls[3].content[0];
  EXPECT_EQ(tools_[3][0].first, "get_weather");
  EXPECT_TRUE(fits(tools_[3][0].second)) << tools_[3][0].second;
  EXPECT_EQ(worker_->calls[3].content[0], "") << "no markup in the content";
}

TEST_F(RealWorkerLanguage, WhatCannotBeDoneIsNamed) {
  auto broken = chat_call(4, "x", 50);
  broken.mutable_infer()->mutable_format()->set_json_schema(R"({"not":{}})");
  auto fill = chat_call(5, "x", 50);
  fill.mutable_infer()->mutable_fill()->set_prefix("a");
  auto outside = chat_call(10, "", 8);
  outside.mutable_infer()->mutable_tokens()->add_ids(1'000'000);
  for (const auto& frame : {broken, fill, outside}) {
    worker_->send(frame);
  }
  ASSERT_TRUE(worker_->wait_for({4, 5, 10}));
  EXPECT_EQ(worker_->calls[4].refused->kind(), wire::Refused::INVALID);
  EXPECT_EQ(worker_->calls[4].refused->param(), "response_format");
  EXPECT_EQ(worker_->calls[5].refused->kind(), wire::Refused::UNSUPPORTED);
  EXPECT_EQ(worker_->calls[5].refused->param(), "suffix");
  EXPECT_EQ(worker_->calls[10].refused->param(), "prompt");
}

TEST_F(RealWorkerLanguage, LogprobsEchoStopTextsAndCounts) {
  auto probable = chat_call(6, "Hello", 8);
  probable.mutable_infer()->set_logprobs(true);
  probable.mutable_infer()->set_top_logprobs(3);
  auto echoed = chat_call(7, "", 4);
  echoed.mutable_infer()->set_text("One two");
  echoed.mutable_infer()->set_echo(true);
  auto stopped = chat_call(8, "", 60);
  stopped.mutable_infer()->set_text("1, 2, 3, 4, 5,");
  stopped.mutable_infer()->add_stop(" 9");
  auto counted = chat_call(9, "Hello", 8);
  counted.mutable_infer()->set_count_only(true);
  for (const auto& frame : {probable, echoed, stopped, counted}) {
    worker_->send(frame);
  }
  ASSERT_TRUE(worker_->wait_for({6, 7, 8, 9}));
  ASSERT_EQ(logprobs_[6].size(), worker_->calls[6].finished->usage().completion_tokens());
  for (const wire::Logprob& logprob : logprobs_[6]) {
    ASSERT_EQ(logprob.top_size(), 3);
    EXPECT_EQ(logprob.top(0).token(), logprob.chosen().token()) << "greedy";
    EXPECT_LE(logprob.chosen().logprob(), 0.0F);
  }
  EXPECT_TRUE(worker_->calls[7].content[0].starts_with("One two"));
  EXPECT_EQ(stop_texts_[8], " 9") << worker_->calls[8].content[0];
  EXPECT_EQ(worker_->calls[8].content[0].find(" 9"), std::string::npos);
  EXPECT_GT(worker_->calls[9].finished->usage().prompt_tokens(), 0U);
}

}  // namespace
}  // namespace deepmoat::worker
