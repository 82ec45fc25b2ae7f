#include "wire/answer.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "wire/answer_json.h"
#include "wire/model_listing.h"
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

Answer answer(std::vector<Choice> choices) {
  Answer made;
  made.choices = std::move(choices);
  made.usage = usage();
  return made;
}

std::unique_ptr<AnswerWriter> writer(Shape shape, AnswerOptions options = {}) {
  return make_answer_writer(head(shape), std::move(options));
}

std::string body(Shape shape, std::vector<Choice> choices, AnswerOptions options = {}) {
  return writer(shape, std::move(options))->body(answer(std::move(choices)));
}

ToolCall tool_call(const std::string& id, const std::string& name, const std::string& arguments) {
  ToolCall made;
  made.set_id(id);
  made.set_name(name);
  made.set_arguments(arguments);
  return made;
}

Logprob logprob(const std::string& token, float value) {
  Logprob made;
  made.mutable_chosen()->set_token(token);
  made.mutable_chosen()->set_raw(token);
  made.mutable_chosen()->set_logprob(value);
  *made.add_top() = made.chosen();
  return made;
}

TEST(AnswerBody, Chat) {
  EXPECT_EQ(body(Shape::chat, {{"Hi \"you\"\n", "", {}, {}, FINISH_STOP}}),
            R"({"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":"demo",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"Hi \"you\"\n",)"
            R"("refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":)" +
                std::string(kUsage) + R"(,"system_fingerprint":null})");
}

TEST(AnswerBody, ChatWithReasoningAndChoices) {
  EXPECT_EQ(body(Shape::chat, {{"a", "hm", {}, {}, FINISH_LENGTH}, {"b", "", {}, {}, FINISH_STOP}}),
            R"({"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":"demo",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null,)"
            R"("reasoning_content":"hm"},"logprobs":null,"finish_reason":"length"},)"
            R"({"index":1,"message":{"role":"assistant","content":"b","refusal":null},)"
            R"("logprobs":null,"finish_reason":"stop"}],"usage":)" +
                std::string(kUsage) + R"(,"system_fingerprint":null})");
}

TEST(AnswerBody, ChatWithToolCalls) {
  const std::string text =
      body(Shape::chat, {{"", "", {tool_call("c1", "add", R"({"a":1})")}, {}, FINISH_TOOL_CALLS}});
  EXPECT_NE(text.find(R"("message":{"role":"assistant","content":null,"refusal":null,)"
                      R"("tool_calls":[{"id":"c1","type":"function","function":)"
                      R"({"name":"add","arguments":"{\"a\":1}"}}]},"logprobs":null,)"
                      R"("finish_reason":"tool_calls"})"),
            std::string::npos)
      << text;
}

TEST(AnswerBody, ChatWithLogprobs) {
  const std::string text = body(
      Shape::chat, {{"hi", "", {}, {logprob("hi", -0.5F), logprob("!", -INFINITY)}, FINISH_STOP}});
  EXPECT_NE(text.find(R"("logprobs":{"content":[{"token":"hi","logprob":-0.5,"bytes":[104,105],)"
                      R"("top_logprobs":[{"token":"hi","logprob":-0.5,"bytes":[104,105]}]},)"
                      R"({"token":"!","logprob":-9999.0,)"),
            std::string::npos)
      << text;
}

TEST(AnswerBody, Completion) {
  EXPECT_EQ(body(Shape::completion, {{" upon", "", {}, {}, FINISH_LENGTH}}),
            R"({"id":"chatcmpl-1","object":"text_completion","created":1795000000,"model":"demo",)"
            R"("choices":[{"index":0,"text":" upon","logprobs":null,"finish_reason":"length"}],)"
            R"("usage":)" +
                std::string(kUsage) + R"(,"system_fingerprint":null})");
}

TEST(AnswerBody, CompletionWithLogprobsCountsCharactersNotBytes) {
  const std::string text =
      body(Shape::completion,
           {{"once \u6df1a", "", {}, {logprob("\u6df1", -1), logprob("a", -2)}, FINISH_STOP}});
  EXPECT_NE(text.find("\"logprobs\":{\"tokens\":[\"\u6df1\",\"a\"],"
                      "\"token_logprobs\":[-1.0,-2.0],"
                      "\"top_logprobs\":[{\"\u6df1\":-1.0},{\"a\":-2.0}],"
                      "\"text_offset\":[5,6]}"),
            std::string::npos)
      << text;
}

TEST(AnswerBody, Predict) {
  EXPECT_EQ(body(Shape::predict, {{"4", "", {}, {}, FINISH_STOP}}),
            R"({"id":"chatcmpl-1","created":1795000000,"model":"demo","output":"4",)"
            R"("finish_reason":"stop","usage":)" +
                std::string(kUsage) + "}");
  EXPECT_EQ(
      body(Shape::predict, {{"4", "2+2", {}, {}, FINISH_STOP}, {"5", "", {}, {}, FINISH_STOP}}),
      R"({"id":"chatcmpl-1","created":1795000000,"model":"demo","output":"4",)"
      R"("reasoning":"2+2","outputs":["4","5"],"finish_reason":"stop","usage":)" +
          std::string(kUsage) + "}");
}

TEST(AnswerBody, Embeddings) {
  Answer made;
  Vectors part;
  part.set_width(2);
  for (const float value : {0.1F, -2.0F}) {
    part.add_values(value);
  }
  made.take(part);
  part.set_first(1);
  made.take(part);
  part.set_first(7);  // a gap: not ours
  made.take(part);
  made.usage = usage();
  EXPECT_EQ(writer(Shape::embeddings)->body(made),
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2]},)"
            R"({"object":"embedding","index":1,"embedding":[0.1,-2]}],"model":"demo",)"
            R"("usage":{"prompt_tokens":10,"total_tokens":10}})");
  // As Python's base64.b64encode(struct.pack("<2f", 0.1, -2)) has it.
  EXPECT_NE(
      writer(Shape::embeddings, {.base64 = true})->body(made).find(R"("embedding":"zczMPQAAAMA=")"),
      std::string::npos);
}

TEST(AnswerBody, RerankSortsAndCuts) {
  Answer made;
  Scores scores;
  for (const float value : {0.25F, 0.75F, NAN, 0.75F}) {
    scores.add_values(value);
  }
  made.take(scores);
  made.usage = usage();
  EXPECT_EQ(writer(Shape::rerank, {.top_n = 3, .documents = {"a", "b", "c", "d"}})->body(made),
            R"({"id":"chatcmpl-1","model":"demo","usage":{"prompt_tokens":10,"total_tokens":10},)"
            R"("results":[{"index":1,"relevance_score":0.75,"document":{"text":"b"}},)"
            R"({"index":3,"relevance_score":0.75,"document":{"text":"d"}},)"
            R"({"index":0,"relevance_score":0.25,"document":{"text":"a"}}]})");
  const std::string bare = writer(Shape::rerank)->body(made);
  EXPECT_EQ(bare.find("document"), std::string::npos);
  EXPECT_NE(bare.find(R"({"index":2,"relevance_score":-9999.0})"), std::string::npos);
}

std::string chunk(const std::string& choices, const std::string& more = "") {
  return R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,)"
         R"("model":"demo","system_fingerprint":null,"choices":)" +
         choices + more + "}\n\n";
}

Delta delta(const std::string& content, const std::string& reasoning = "",
            std::uint32_t index = 0) {
  Delta made;
  made.set_index(index);
  made.set_content(content);
  made.set_reasoning(reasoning);
  return made;
}

Delta tool_delta(std::uint32_t call, const std::string& id, const std::string& name,
                 const std::string& arguments) {
  Delta made;
  ToolCallDelta& piece = *made.add_tool_calls();
  piece.set_index(call);
  piece.set_id(id);
  piece.set_name(name);
  piece.set_arguments(arguments);
  return made;
}

TEST(ChatStream, SaysTheRoleOnceAChoice) {
  const auto stream = writer(Shape::chat);
  EXPECT_EQ(stream->begin(), "");
  EXPECT_EQ(stream->delta(delta("a\nb")),
            chunk(R"([{"index":0,"delta":{"role":"assistant","content":""},)"
                  R"("logprobs":null,"finish_reason":null}])") +
                chunk(R"([{"index":0,"delta":{"content":"a\nb"},"logprobs":null,)"
                      R"("finish_reason":null}])"));
  EXPECT_EQ(stream->delta(delta("", "hm")),
            chunk(R"([{"index":0,"delta":{"reasoning_content":"hm"},"logprobs":null,)"
                  R"("finish_reason":null}])"));
  EXPECT_EQ(stream->delta(delta("a", "hm")),
            chunk(R"([{"index":0,"delta":{"reasoning_content":"hm","content":"a"},)"
                  R"("logprobs":null,"finish_reason":null}])"));
  EXPECT_EQ(stream->delta(delta("", "", 1)),
            chunk(R"([{"index":1,"delta":{"role":"assistant","content":""},)"
                  R"("logprobs":null,"finish_reason":null}])"));
  EXPECT_EQ(stream->end(answer({{"", "", {}, {}, FINISH_LENGTH}})),
            chunk(R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}])") +
                std::string(kSseDone));
  EXPECT_EQ(stream->keep_alive(), kSseKeepAlive);
}

TEST(ChatStream, ToolCallsAndLogprobs) {
  const auto stream = writer(Shape::chat);
  EXPECT_NE(stream->delta(tool_delta(0, "c1", "add", ""))
                .find(R"("delta":{"tool_calls":[{"index":0,"id":"c1","type":"function",)"
                      R"("function":{"name":"add","arguments":""}}]})"),
            std::string::npos);
  EXPECT_EQ(stream->delta(tool_delta(0, "", "", "{\"a")),
            chunk(R"([{"index":0,"delta":{"tool_calls":[{"index":0,"function":)"
                  R"({"arguments":"{\"a"}}]},"logprobs":null,"finish_reason":null}])"));
  Delta made = delta("hi");
  *made.add_logprobs() = logprob("hi", -1);
  EXPECT_NE(
      stream->delta(made).find(R"("delta":{"content":"hi"},"logprobs":{"content":[{"token":"hi",)"),
      std::string::npos);
}

TEST(ChatStream, UsageOnRequest) {
  const auto stream = writer(Shape::chat, {.include_usage = true});
  EXPECT_EQ(stream->end(answer({{"", "", {}, {}, FINISH_STOP}})),
            chunk(R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}])",
                  R"(,"usage":null)") +
                chunk("[]", R"(,"usage":)" + std::string(kUsage)) + std::string(kSseDone));
}

TEST(CompletionStream, Events) {
  const auto stream = writer(Shape::completion);
  const std::string begin =
      R"(data: {"id":"chatcmpl-1","object":"text_completion","created":1795000000,)"
      R"("model":"demo","system_fingerprint":null,"choices":)";
  EXPECT_EQ(stream->delta(delta("x", "", 1)),
            begin + R"([{"index":1,"text":"x","logprobs":null,"finish_reason":null}]})" + "\n\n");
  EXPECT_EQ(stream->end(answer({{"", "", {}, {}, FINISH_STOP}})),
            begin + R"([{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]})" + "\n\n" +
                std::string(kSseDone));
}

TEST(CompletionStream, TokensStandWhereTheyAre) {
  const auto stream = writer(Shape::completion);
  EXPECT_NE(stream->delta(delta("the prompt")).find(R"("logprobs":null)"), std::string::npos);
  Delta made = delta("ab");
  *made.add_logprobs() = logprob("ab", -1);
  EXPECT_NE(stream->delta(made).find(R"("text_offset":[10])"), std::string::npos);
  EXPECT_NE(stream->delta(made).find(R"("text_offset":[12])"), std::string::npos);
}

// The data of a stream's events, each with the name that its line "event:" gives.
std::vector<nlohmann::json> events(const std::string& bytes, bool named = true) {
  std::vector<nlohmann::json> list;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t end = bytes.find("\n\n", at);
    EXPECT_NE(end, std::string::npos);
    const std::string event = bytes.substr(at, end - at);
    const std::size_t data = event.find("data: ");
    list.push_back(nlohmann::json::parse(event.substr(data + 6)));
    if (named) {
      EXPECT_EQ(event.substr(0, data), "event: " + list.back()["type"].get<std::string>() + "\n");
    }
    at = end + 2;
  }
  return list;
}

std::vector<std::string> types(const std::vector<nlohmann::json>& list) {
  std::vector<std::string> names;
  for (const nlohmann::json& event : list) {
    names.push_back(event["type"]);
  }
  return names;
}

// One answer that thinks, speaks and calls two tools.
std::string streamed(AnswerWriter& stream, const Answer& whole) {
  std::string bytes = stream.begin();
  bytes += stream.delta(delta("", "let me "));
  bytes += stream.delta(delta("", "see"));
  bytes += stream.delta(delta("I will "));
  bytes += stream.delta(delta("add."));
  bytes += stream.delta(tool_delta(0, "c1", "add", ""));
  bytes += stream.delta(tool_delta(0, "", "", "{\"a\""));
  bytes += stream.delta(tool_delta(0, "", "", ":1}"));
  bytes += stream.delta(tool_delta(1, "c2", "sub", "{}"));
  return bytes + stream.end(whole);
}

Answer busy_answer() {
  return answer({{"I will add.",
                  "let me see",
                  {tool_call("c1", "add", R"({"a":1})"), tool_call("c2", "sub", "{}")},
                  {},
                  FINISH_TOOL_CALLS}});
}

TEST(Anthropic, Body) {
  EXPECT_EQ(body(Shape::message, busy_answer().choices),
            R"({"id":"chatcmpl-1","type":"message","role":"assistant","model":"demo","content":[)"
            R"({"type":"thinking","thinking":"let me see","signature":""},)"
            R"({"type":"text","text":"I will add."},)"
            R"({"type":"tool_use","id":"c1","name":"add","input":{"a":1}},)"
            R"({"type":"tool_use","id":"c2","name":"sub","input":{}}],)"
            R"("stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":6,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":7}})");
}

TEST(Anthropic, StopReasons) {
  const auto reason = [](Choice choice) {
    const auto json = nlohmann::json::parse(body(Shape::message, {std::move(choice)}));
    return json["stop_reason"].get<std::string>() + "/" + json["stop_sequence"].dump();
  };
  EXPECT_EQ(reason({"a", "", {}, {}, FINISH_STOP}), "end_turn/null");
  EXPECT_EQ(reason({"a", "", {}, {}, FINISH_LENGTH}), "max_tokens/null");
  EXPECT_EQ(reason({"a", "", {}, {}, FINISH_STOP, "END"}), "stop_sequence/\"END\"");
}

TEST(Anthropic, ArgumentsThatAreNoObjectAreShown) {
  const std::string text =
      body(Shape::message, {{"", "", {tool_call("c1", "add", "{\"a\":")}, {}, FINISH_LENGTH}});
  EXPECT_NE(text.find(R"("input":{"arguments":"{\"a\":"})"), std::string::npos) << text;
}

TEST(Anthropic, StreamHasEachBlockOpenedAndClosed) {
  const auto stream = writer(Shape::message);
  const auto list = events(streamed(*stream, busy_answer()));
  EXPECT_EQ(types(list), (std::vector<std::string>{
                             "message_start", "content_block_start", "content_block_delta",
                             "content_block_delta", "content_block_stop", "content_block_start",
                             "content_block_delta", "content_block_delta", "content_block_stop",
                             "content_block_start", "content_block_delta", "content_block_delta",
                             "content_block_stop", "content_block_start", "content_block_delta",
                             "content_block_stop", "message_delta", "message_stop"}));
  EXPECT_EQ(list[0]["message"]["content"], nlohmann::json::array());
  EXPECT_EQ(list[2]["delta"]["thinking"], "let me ");
  EXPECT_EQ(list[9]["content_block"], (nlohmann::json{{"type", "tool_use"},
                                                      {"id", "c1"},
                                                      {"name", "add"},
                                                      {"input", nlohmann::json::object()}}));
  EXPECT_EQ(list[11]["delta"]["partial_json"], ":1}");
  EXPECT_EQ(list[13]["index"], 3);
  EXPECT_EQ(list[16]["delta"]["stop_reason"], "tool_use");
  EXPECT_EQ(list[16]["usage"]["output_tokens"], 7);
}

TEST(Anthropic, ErrorsAndKeepAlive) {
  const auto stream = writer(Shape::message);
  EXPECT_EQ(stream->keep_alive(), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
  const auto list = events(stream->failed({.status = 503, .message = "gone"}, answer({{}})));
  EXPECT_EQ(list[0]["error"]["type"], "overloaded_error");
  EXPECT_EQ(list[0]["request_id"], "chatcmpl-1");
  EXPECT_EQ(error_body(invalid("n", "no"), ErrorShape::anthropic, "r1"),
            R"({"type":"error","error":{"type":"invalid_request_error","message":"no"},)"
            R"("request_id":"r1"})");
}

TEST(Anthropic, TokenCount) {
  EXPECT_EQ(body(Shape::token_count, {{}}), R"({"input_tokens":10})");
}

constexpr const char* kSettings = R"("instructions":null,"tools":[])";

TEST(Responses, Body) {
  const auto json =
      nlohmann::json::parse(body(Shape::response, busy_answer().choices, {.settings = kSettings}));
  EXPECT_EQ(json["status"], "completed");
  EXPECT_EQ(json["tools"], nlohmann::json::array());
  EXPECT_EQ(json["error"], nullptr);
  EXPECT_EQ(json["store"], false);
  ASSERT_EQ(json["output"].size(), 4U);
  EXPECT_EQ(json["output"][0]["content"][0]["text"], "let me see");
  EXPECT_EQ(json["output"][1]["content"][0]["text"], "I will add.");
  EXPECT_EQ(json["output"][2]["call_id"], "c1");
  EXPECT_EQ(json["output"][2]["arguments"], R"({"a":1})");
  EXPECT_EQ(json["output"][3]["name"], "sub");
  EXPECT_EQ(json["usage"]["input_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(json["usage"]["output_tokens_details"]["reasoning_tokens"], 2);
  EXPECT_EQ(json["usage"]["total_tokens"], 17);
}

TEST(Responses, CutAnswersAreIncomplete) {
  const auto json = nlohmann::json::parse(
      body(Shape::response, {{"a", "", {}, {}, FINISH_LENGTH}}, {.settings = kSettings}));
  EXPECT_EQ(json["status"], "incomplete");
  EXPECT_EQ(json["incomplete_details"]["reason"], "max_output_tokens");
}

TEST(Responses, StreamIsNumberedAndNested) {
  const auto stream = writer(Shape::response, {.settings = kSettings});
  const auto list = events(streamed(*stream, busy_answer()));
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_EQ(list[i]["sequence_number"], i);
  }
  EXPECT_EQ(types(list), (std::vector<std::string>{"response.created",
                                                   "response.in_progress",
                                                   "response.output_item.added",
                                                   "response.content_part.added",
                                                   "response.reasoning_text.delta",
                                                   "response.reasoning_text.delta",
                                                   "response.reasoning_text.done",
                                                   "response.content_part.done",
                                                   "response.output_item.done",
                                                   "response.output_item.added",
                                                   "response.content_part.added",
                                                   "response.output_text.delta",
                                                   "response.output_text.delta",
                                                   "response.output_text.done",
                                                   "response.content_part.done",
                                                   "response.output_item.done",
                                                   "response.output_item.added",
                                                   "response.function_call_arguments.delta",
                                                   "response.function_call_arguments.delta",
                                                   "response.function_call_arguments.done",
                                                   "response.output_item.done",
                                                   "response.output_item.added",
                                                   "response.function_call_arguments.delta",
                                                   "response.function_call_arguments.done",
                                                   "response.output_item.done",
                                                   "response.completed"}));
  EXPECT_EQ(list[13]["text"], "I will add.");
  EXPECT_EQ(list[19]["arguments"], R"({"a":1})");
  EXPECT_EQ(list[19]["output_index"], 2);
  EXPECT_EQ(list.back()["response"]["usage"]["output_tokens"], 7);
  // The stream's last word is what the whole answer would have been.
  const auto whole = writer(Shape::response, {.settings = kSettings})->body(busy_answer());
  EXPECT_EQ(list.back()["response"], nlohmann::json::parse(whole));
}

TEST(Responses, AStreamThatBreaksSaysSo) {
  const auto stream = writer(Shape::response, {.settings = kSettings});
  const std::string bytes = stream->begin() + stream->delta(delta("half"));
  const auto list =
      events(stream->failed({.code = "worker_crashed", .message = "It died."}, answer({{}})));
  EXPECT_EQ(types(list), (std::vector<std::string>{"error", "response.failed"}));
  EXPECT_EQ(list[0]["code"], "worker_crashed");
  EXPECT_EQ(list[1]["response"]["status"], "failed");
  EXPECT_EQ(list[1]["response"]["error"]["message"], "It died.");
}

TEST(Answer, PiecesOfToolCallsAreJoined) {
  Answer made(2);
  EXPECT_TRUE(made.take(tool_delta(0, "c1", "add", "{\"a\"")));
  EXPECT_TRUE(made.take(tool_delta(0, "", "", ":1}")));
  EXPECT_TRUE(made.take(tool_delta(5, "c9", "lost", "{}")));
  EXPECT_FALSE(made.take(delta("x", "", 2))) << "nobody asked for a third choice";
  ASSERT_EQ(made.choices[0].tool_calls.size(), 1U);
  EXPECT_EQ(made.choices[0].tool_calls[0].arguments(), R"({"a":1})");
  EXPECT_TRUE(made.choices[1].tool_calls.empty());
}

// Whatever the text: each event is one line of JSON, for a line break in it would be another field.
RC_GTEST_PROP(Streams, AnyTextIsEventsOfValidJson, (const std::string& content)) {
  for (const Shape shape : {Shape::chat, Shape::completion, Shape::message, Shape::response}) {
    const auto stream = make_answer_writer({.shape = shape, .id = content, .model = content},
                                           {.include_usage = true, .settings = kSettings});
    Answer made(1);
    std::string bytes = stream->begin();
    for (const Delta& piece : {delta(content, content), tool_delta(0, content, content, content)}) {
      made.take(piece);
      bytes += stream->delta(piece);
    }
    RC_ASSERT(nlohmann::json::accept(stream->body(made)));
    bytes += stream->failed({.message = content}, made);
    RC_ASSERT(bytes.find('\r') == std::string::npos);
    RC_ASSERT(!events(bytes, shape == Shape::message || shape == Shape::response).empty());
  }
}

TEST(JsonString, EscapesAndReplaces) {
  EXPECT_EQ(json_string("a\"b\\c\n\x01"), R"("a\"b\\c\n\u0001")");
  EXPECT_EQ(json_string("a\xff\xc3z"), "\"a\xef\xbf\xbd\xef\xbf\xbdz\"");
  EXPECT_EQ(json_string("\xe6\xb7\xb1"), "\"\xe6\xb7\xb1\"");
}

TEST(AnswerBody, InvalidUtf8IsReplaced) {
  const std::string text = body(Shape::chat, {{"\xf0\x9f", "", {}, {}, FINISH_STOP}});
  EXPECT_TRUE(nlohmann::json::accept(text));
  EXPECT_NE(text.find("\xef\xbf\xbd"), std::string::npos);
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
  const std::map<Code, int> statuses = {
      {Code::invalid_argument, 400},  {Code::not_found, 404},
      {Code::already_exists, 409},    {Code::unauthenticated, 401},
      {Code::permission_denied, 403}, {Code::resource_exhausted, 429},
      {Code::unavailable, 503},       {Code::audit_unavailable, 503},
      {Code::corrupt, 500},           {Code::custody_unavailable, 503},
      {Code::cancelled, 499},         {Code::io, 500},
      {Code::internal, 500},          {Code::timeout, 504}};
  EXPECT_EQ(statuses.size(), static_cast<std::size_t>(Code::internal) + 1);
  for (const auto& [code, status] : statuses) {
    const Refusal refusal = to_refusal({code, "/var/secret/path"});
    EXPECT_EQ(refusal.status, status) << code_name(code);
    EXPECT_FALSE(refusal.code.empty());
    const bool inner = status == 500 || code == Code::audit_unavailable;
    EXPECT_EQ(refusal.message == "/var/secret/path", !inner) << code_name(code);
    EXPECT_EQ(refusal.fault,
              status == 500 ? std::string(code_name(code)) + ": /var/secret/path" : "");
    EXPECT_EQ(error_body(refusal).find("/var/secret") == std::string::npos, inner);
    EXPECT_EQ(refusal.retry_after_s > 0, status == 429 || status == 503) << code_name(code);
  }
}

TEST(ToRefusal, WithoutTheAuditLogItIsTheDocumentedAnswer) {
  const Refusal refusal = to_refusal({Code::audit_unavailable, "segment 3: no space"});
  EXPECT_EQ(refusal.code, "audit_unavailable");
  EXPECT_EQ(refusal.retry_after_s, 30U);
}

TEST(Sse, EventAndComments) {
  EXPECT_EQ(sse_event("{}"), "data: {}\n\n");
  EXPECT_EQ(kSseDone, "data: [DONE]\n\n");
  EXPECT_TRUE(kSseKeepAlive.starts_with(":") && kSseKeepAlive.ends_with("\n\n"));
}

}  // namespace
}  // namespace deepmoat::wire
