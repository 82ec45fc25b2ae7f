#include "wire/openai_response.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>

#include "wire/refusal.h"
#include "wire/sse.h"

namespace deepmoat::wire {
namespace {

AnswerHead head(Shape shape) {
  return {.shape = shape, .id = "chatcmpl-1", .created_s = 1795000000, .model = "demo"};
}

Usage usage() {
  Usage made;
  made.set_prompt_tokens(10);
  made.set_cached_tokens(4);
  made.set_completion_tokens(7);
  made.set_reasoning_tokens(2);
  return made;
}

constexpr const char* kUsage = R"({"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,)"
                               R"("prompt_tokens_details":{"cached_tokens":4},)"
                               R"("completion_tokens_details":{"reasoning_tokens":2},)"
                               R"("prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6})";

TEST(AnswerBody, Chat) {
  EXPECT_EQ(answer_body(head(Shape::chat), {{"Hi \"you\"\n", "", FINISH_STOP}}, usage()),
            R"({"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":"demo",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"Hi \"you\"\n",)"
            R"("refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":)" +
                std::string(kUsage) + R"(,"system_fingerprint":null})");
}

TEST(AnswerBody, ChatWithReasoningAndChoices) {
  EXPECT_EQ(
      answer_body(head(Shape::chat), {{"a", "hm", FINISH_LENGTH}, {"b", "", FINISH_STOP}}, usage()),
      R"({"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":"demo",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null,)"
      R"("reasoning_content":"hm"},"logprobs":null,"finish_reason":"length"},)"
      R"({"index":1,"message":{"role":"assistant","content":"b","refusal":null},)"
      R"("logprobs":null,"finish_reason":"stop"}],"usage":)" +
          std::string(kUsage) + R"(,"system_fingerprint":null})");
}

TEST(AnswerBody, Completion) {
  EXPECT_EQ(answer_body(head(Shape::completion), {{" upon", "", FINISH_LENGTH}}, usage()),
            R"({"id":"chatcmpl-1","object":"text_completion","created":1795000000,"model":"demo",)"
            R"("choices":[{"index":0,"text":" upon","logprobs":null,"finish_reason":"length"}],)"
            R"("usage":)" +
                std::string(kUsage) + R"(,"system_fingerprint":null})");
}

TEST(AnswerBody, Predict) {
  EXPECT_EQ(answer_body(head(Shape::predict), {{"4", "", FINISH_STOP}}, usage()),
            R"({"id":"chatcmpl-1","created":1795000000,"model":"demo","output":"4",)"
            R"("finish_reason":"stop","usage":)" +
                std::string(kUsage) + "}");
  EXPECT_EQ(answer_body(head(Shape::predict), {{"4", "2+2", FINISH_STOP}, {"5", "", FINISH_STOP}},
                        usage()),
            R"({"id":"chatcmpl-1","created":1795000000,"model":"demo","output":"4",)"
            R"("reasoning":"2+2","outputs":["4","5"],"finish_reason":"stop","usage":)" +
                std::string(kUsage) + "}");
}

std::string chunk(const std::string& choices, const std::string& more = "") {
  return R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,)"
         R"("model":"demo","system_fingerprint":null,"choices":)" +
         choices + more + "}\n\n";
}

Delta delta(const std::string& content, const std::string& reasoning = "") {
  Delta made;
  made.set_index(1);
  made.set_content(content);
  made.set_reasoning(reasoning);
  return made;
}

TEST(ChunkWriter, ChatEvents) {
  const ChunkWriter writer(head(Shape::chat), false);
  EXPECT_EQ(writer.role(0), chunk(R"([{"index":0,"delta":{"role":"assistant","content":""},)"
                                  R"("logprobs":null,"finish_reason":null}])"));
  EXPECT_EQ(writer.delta(delta("a\nb")),
            chunk(R"([{"index":1,"delta":{"content":"a\nb"},"logprobs":null,)"
                  R"("finish_reason":null}])"));
  EXPECT_EQ(writer.delta(delta("", "hm")),
            chunk(R"([{"index":1,"delta":{"reasoning_content":"hm"},"logprobs":null,)"
                  R"("finish_reason":null}])"));
  EXPECT_EQ(writer.delta(delta("a", "hm")),
            chunk(R"([{"index":1,"delta":{"reasoning_content":"hm","content":"a"},)"
                  R"("logprobs":null,"finish_reason":null}])"));
  EXPECT_EQ(writer.finished(1, FINISH_LENGTH),
            chunk(R"([{"index":1,"delta":{},"logprobs":null,"finish_reason":"length"}])"));
  EXPECT_EQ(writer.usage(usage()), "");
}

TEST(ChunkWriter, UsageOnRequest) {
  const ChunkWriter writer(head(Shape::chat), true);
  EXPECT_EQ(writer.finished(0, FINISH_STOP),
            chunk(R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}])",
                  R"(,"usage":null)"));
  EXPECT_EQ(writer.usage(usage()), chunk("[]", R"(,"usage":)" + std::string(kUsage)));
}

TEST(ChunkWriter, CompletionEvents) {
  const ChunkWriter writer(head(Shape::completion), false);
  const std::string begin =
      R"(data: {"id":"chatcmpl-1","object":"text_completion","created":1795000000,)"
      R"("model":"demo","system_fingerprint":null,"choices":)";
  EXPECT_EQ(writer.role(0), "");
  EXPECT_EQ(writer.delta(delta("x")),
            begin + R"([{"index":1,"text":"x","logprobs":null,"finish_reason":null}]})" + "\n\n");
  EXPECT_EQ(writer.finished(0, FINISH_STOP),
            begin + R"([{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]})" + "\n\n");
}

// One event is one line, whatever the text: a line break in it would be another field.
RC_GTEST_PROP(ChunkWriter, AnyTextIsOneEventOfValidJson, (const std::string& content)) {
  const ChunkWriter writer({.shape = Shape::chat, .id = content, .model = content}, true);
  Delta made;
  made.set_content(content);
  for (const std::string& event : {writer.role(0), writer.delta(made)}) {
    RC_ASSERT(event.starts_with("data: "));
    RC_ASSERT(event.find('\n') == event.size() - 2);
    RC_ASSERT(event.find('\r') == std::string::npos);
    RC_ASSERT(nlohmann::json::accept(event.substr(6)));
  }
}

TEST(JsonString, EscapesAndReplaces) {
  EXPECT_EQ(json_string("a\"b\\c\n\x01"), R"("a\"b\\c\n\u0001")");
  EXPECT_EQ(json_string("a\xff\xc3z"), "\"a\xef\xbf\xbd\xef\xbf\xbdz\"");
  EXPECT_EQ(json_string("\xe6\xb7\xb1"), "\"\xe6\xb7\xb1\"");
}

TEST(AnswerBody, InvalidUtf8IsReplaced) {
  const std::string body = answer_body(head(Shape::chat), {{"\xf0\x9f", "", FINISH_STOP}}, usage());
  EXPECT_TRUE(nlohmann::json::accept(body));
  EXPECT_NE(body.find("\xef\xbf\xbd"), std::string::npos);
}

TEST(ModelsBody, ListAndOne) {
  EXPECT_EQ(models_body({}), R"({"object":"list","data":[]})");
  EXPECT_EQ(models_body({{"a", 5}, {"b", 6}}),
            R"({"object":"list","data":[)"
            R"({"id":"a","object":"model","created":5,"owned_by":"deepmoat"},)"
            R"({"id":"b","object":"model","created":6,"owned_by":"deepmoat"}]})");
  EXPECT_EQ(model_body({"a", 5}),
            R"({"id":"a","object":"model","created":5,"owned_by":"deepmoat"})");
}

TEST(ErrorBody, AllFourKeysAlways) {
  EXPECT_EQ(error_body(invalid("n", "'n' is 9.")),
            R"({"error":{"message":"'n' is 9.","type":"invalid_request_error","param":"n",)"
            R"("code":"invalid_value"}})");
  EXPECT_EQ(error_body(Refusal{.message = "\xff"}),
            "{\"error\":{\"message\":\"\xef\xbf\xbd\",\"type\":\"server_error\",\"param\":null,"
            "\"code\":\"internal_error\"}}");
}

TEST(ToRefusal, EveryCodeHasAStatusAndInnerErrorsStayInside) {
  const std::map<Code, int> statuses = {{Code::invalid_argument, 400},
                                        {Code::not_found, 404},
                                        {Code::already_exists, 409},
                                        {Code::unauthenticated, 401},
                                        {Code::permission_denied, 403},
                                        {Code::resource_exhausted, 429},
                                        {Code::unavailable, 503},
                                        {Code::corrupt, 500},
                                        {Code::io, 500},
                                        {Code::cancelled, 499},
                                        {Code::timeout, 504},
                                        {Code::internal, 500}};
  EXPECT_EQ(statuses.size(), static_cast<std::size_t>(Code::internal) + 1);
  for (const auto& [code, status] : statuses) {
    const Refusal refusal = to_refusal({code, "/var/secret/path"});
    EXPECT_EQ(refusal.status, status) << code_name(code);
    EXPECT_FALSE(refusal.code.empty());
    EXPECT_EQ(refusal.message == "/var/secret/path", status != 500) << code_name(code);
    EXPECT_EQ(refusal.retry_after_s > 0, status == 429 || status == 503) << code_name(code);
  }
}

TEST(Sse, EventAndComments) {
  EXPECT_EQ(sse_event("{}"), "data: {}\n\n");
  EXPECT_EQ(kSseDone, "data: [DONE]\n\n");
  EXPECT_TRUE(kSseKeepAlive.starts_with(":") && kSseKeepAlive.ends_with("\n\n"));
}

}  // namespace
}  // namespace deepmoat::wire
