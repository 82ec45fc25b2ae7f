#include "wire/key_request.h"
#include "wire/request_reader.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/limits.h"

namespace deepmoat::wire {
namespace {

using Json = nlohmann::json;

Json chat_json() {
  return {{"model", "m"}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}};
}

Json completion_json() {
  return {{"model", "m"}, {"prompt", "once"}};
}

OrRefusal<InferenceCall> chat(const Json& body) {
  RequestReader reader;
  return reader.chat_completion(body.dump());
}

OrRefusal<InferenceCall> chat_with(const char* field, const Json& value) {
  Json body = chat_json();
  body[field] = value;
  return chat(body);
}

OrRefusal<InferenceCall> completion_with(const char* field, const Json& value) {
  Json body = completion_json();
  body[field] = value;
  RequestReader reader;
  return reader.completion(body.dump());
}

void expect_refusal(const OrRefusal<InferenceCall>& call, const std::string& param,
                    const std::string& code) {
  ASSERT_FALSE(call) << param << " was accepted";
  EXPECT_EQ(call.error().status, 400);
  EXPECT_EQ(call.error().type, "invalid_request_error");
  EXPECT_EQ(call.error().param, param);
  EXPECT_EQ(call.error().code, code) << call.error().message;
  EXPECT_FALSE(call.error().message.empty());
}

TEST(ChatRequest, Defaults) {
  const auto call = chat(chat_json());
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->shape, Shape::chat);
  EXPECT_EQ(call->model, ModelName("m"));
  EXPECT_FALSE(call->stream);
  EXPECT_FALSE(call->options.include_usage);
  const InferRequest& infer = call->infer;
  ASSERT_EQ(infer.chat().messages_size(), 1);
  EXPECT_EQ(infer.chat().messages(0).role(), "user");
  EXPECT_EQ(infer.chat().messages(0).content(), "hello");
  EXPECT_EQ(infer.max_tokens(), 0U);
  EXPECT_EQ(infer.n(), 1U);
  EXPECT_FALSE(infer.ignore_eos());
  EXPECT_EQ(infer.sampling().temperature(), 1.0F);
  EXPECT_EQ(infer.sampling().top_p(), 1.0F);
  EXPECT_EQ(infer.sampling().top_k(), 0);
  EXPECT_EQ(infer.sampling().min_p(), 0.0F);
  EXPECT_FALSE(infer.sampling().has_seed());
  EXPECT_EQ(infer.call_id(), 0U);
  EXPECT_TRUE(infer.tenant_salt().empty());
}

TEST(ChatRequest, EveryFieldArrives) {
  Json body = chat_json();
  body.update({{"temperature", 0.5},
               {"top_p", 0.25},
               {"top_k", 40},
               {"min_p", 0.125},
               {"seed", 42},
               {"n", 3},
               {"max_tokens", 9},
               {"presence_penalty", -2},
               {"frequency_penalty", 1.5},
               {"stream", true},
               {"stream_options", {{"include_usage", true}}},
               {"ignore_eos", true},
               {"stop", {"a", "b"}},
               {"logit_bias", {{"5", -100}, {"70000", 2.5}}}});
  const auto call = chat(body);
  ASSERT_TRUE(call) << call.error().message;
  const Sampling& sampling = call->infer.sampling();
  EXPECT_EQ(sampling.temperature(), 0.5F);
  EXPECT_EQ(sampling.top_p(), 0.25F);
  EXPECT_EQ(sampling.top_k(), 40);
  EXPECT_EQ(sampling.min_p(), 0.125F);
  EXPECT_EQ(sampling.seed(), 42U);
  EXPECT_EQ(sampling.presence_penalty(), -2.0F);
  EXPECT_EQ(sampling.frequency_penalty(), 1.5F);
  EXPECT_EQ(sampling.logit_bias().at(5), -100.0F);
  EXPECT_EQ(sampling.logit_bias().at(70000), 2.5F);
  EXPECT_EQ(call->infer.n(), 3U);
  EXPECT_EQ(call->infer.max_tokens(), 9U);
  EXPECT_TRUE(call->infer.ignore_eos());
  ASSERT_EQ(call->infer.stop_size(), 2);
  EXPECT_EQ(call->infer.stop(1), "b");
  EXPECT_TRUE(call->stream);
  EXPECT_TRUE(call->options.include_usage);
}

TEST(ChatRequest, NumbersMayBeWrittenEitherWay) {
  EXPECT_EQ(chat_with("max_tokens", 5.0)->infer.max_tokens(), 5U);
  EXPECT_EQ(chat_with("temperature", 1)->infer.sampling().temperature(), 1.0F);
  EXPECT_EQ(chat_with("top_k", -1)->infer.sampling().top_k(), 0) << "-1 turns it off too";
  EXPECT_EQ(chat_with("seed", -1)->infer.sampling().seed(), ~0ULL);
  EXPECT_EQ(chat_with("stop", "x")->infer.stop(0), "x");
  EXPECT_EQ(chat_with("stop", Json::array())->infer.stop_size(), 0);
}

TEST(ChatRequest, MaxCompletionTokensGoesOverMaxTokens) {
  Json body = chat_json();
  body["max_tokens"] = 5;
  body["max_completion_tokens"] = 7;
  EXPECT_EQ(chat(body)->infer.max_tokens(), 7U);
}

TEST(ChatRequest, UnknownFieldsAndNullAreIgnored) {
  EXPECT_TRUE(chat_with("store", true));
  EXPECT_TRUE(chat_with("metadata", {{"a", {{"b", 1}}}}));
  for (const char* field : {"temperature", "stop", "n", "seed", "logit_bias", "tools", "stream",
                            "stream_options", "max_tokens", "response_format"}) {
    EXPECT_TRUE(chat_with(field, nullptr)) << field;
  }
}

struct Refused {
  const char* field;
  Json value;
  const char* param;
  const char* code;
};
void PrintTo(const Refused& refused, std::ostream* out) {
  *out << refused.field << " = " << refused.value.dump();
}
class RefusedFields : public testing::TestWithParam<Refused> {};

std::vector<Refused> wrong_values() {
  return {
      {"model", nullptr, "model", "missing_required_parameter"},
      {"model", "", "model", "missing_required_parameter"},
      {"model", 3, "model", "invalid_type"},
      {"temperature", -0.1, "temperature", "invalid_value"},
      {"temperature", 2.1, "temperature", "invalid_value"},
      {"temperature", "1", "temperature", "invalid_type"},
      {"temperature", true, "temperature", "invalid_type"},
      {"top_p", 1.01, "top_p", "invalid_value"},
      {"min_p", -1, "min_p", "invalid_value"},
      {"top_k", -2, "top_k", "invalid_value"},
      {"top_k", 1.5, "top_k", "invalid_type"},
      {"presence_penalty", 2.5, "presence_penalty", "invalid_value"},
      {"frequency_penalty", -2.5, "frequency_penalty", "invalid_value"},
      {"seed", 18446744073709551615ULL, "seed", "invalid_type"},
      {"seed", 0.5, "seed", "invalid_type"},
      {"max_tokens", 0, "max_tokens", "invalid_value"},
      {"max_tokens", -1, "max_tokens", "invalid_value"},
      {"max_tokens", 1e300, "max_tokens", "invalid_type"},
      {"max_completion_tokens", 10'000'001, "max_completion_tokens", "invalid_value"},
      {"n", 0, "n", "invalid_value"},
      {"n", 5, "n", "invalid_value"},
      {"stream", "true", "stream", "invalid_type"},
      {"stream_options", {{"include_usage", true}}, "stream_options", "invalid_value"},
      {"stream_options", 3, "stream_options", "invalid_type"},
      {"stop", 3, "stop", "invalid_type"},
      {"stop", "", "stop", "invalid_value"},
      {"stop", std::string(257, 'x'), "stop", "invalid_value"},
      {"stop", {"a", 3}, "stop", "invalid_type"},
      {"stop", {"a", "b", "c", "d", "e"}, "stop", "invalid_value"},
      {"logit_bias", Json::array(), "logit_bias", "invalid_type"},
      {"logit_bias", {{"x", 1}}, "logit_bias", "invalid_value"},
      {"logit_bias", {{"-1", 1}}, "logit_bias", "invalid_value"},
      {"logit_bias", {{"1 ", 1}}, "logit_bias", "invalid_value"},
      {"logit_bias", {{"", 1}}, "logit_bias", "invalid_value"},
      {"logit_bias", {{"99999999999", 1}}, "logit_bias", "invalid_value"},
      {"logit_bias", {{"1", 101}}, "logit_bias", "invalid_value"},
      {"logit_bias", {{"1", "1"}}, "logit_bias", "invalid_value"},
  };
}

Json function_tool(const char* name) {
  return {{"type", "function"},
          {"function", {{"name", name}, {"parameters", {{"type", "object"}}}}}};
}

std::vector<Refused> unsupported() {
  std::vector<Refused> list = {
      {"response_format", {{"type", "xml"}}, "response_format.type", "invalid_value"},
      {"response_format", "text", "response_format", "invalid_type"},
      {"response_format",
       {{"type", "json_schema"}},
       "response_format.json_schema",
       "missing_required_parameter"},
      {"response_format",
       {{"type", "json_schema"}, {"json_schema", {{"name", "x"}}}},
       "response_format.json_schema.schema",
       "missing_required_parameter"},
      {"response_format",
       {{"type", "json_schema"}, {"json_schema", {{"schema", 3}}}},
       "response_format.json_schema.schema",
       "invalid_type"},
      {"best_of", 2, "best_of", "unsupported_parameter"},
      {"logprobs", 3, "logprobs", "invalid_type"},
      {"top_logprobs", 3, "top_logprobs", "invalid_value"},
      {"top_logprobs", 6, "top_logprobs", "invalid_value"},
      {"echo", true, "echo", "unsupported_parameter"},
      {"suffix", "tail", "suffix", "unsupported_parameter"},
      {"functions", Json::array({Json::object()}), "functions", "unsupported_parameter"},
      {"function_call", "auto", "function_call", "unsupported_parameter"},
      {"grammar", std::string(limits::kGrammarBytesMax + 1, 'x'), "grammar", "invalid_value"},
      {"reasoning_effort", "very", "reasoning_effort", "invalid_value"},
      {"thinking", {{"type", "maybe"}}, "thinking.type", "invalid_value"},
      {"thinking",
       {{"type", "enabled"}, {"budget_tokens", -1}},
       "thinking.budget_tokens",
       "invalid_value"},
      {"chat_template_kwargs",
       {{"persona", "x"}},
       "chat_template_kwargs.persona",
       "unsupported_parameter"},
      {"chat_template_kwargs",
       {{"enable_thinking", 1}},
       "chat_template_kwargs.enable_thinking",
       "invalid_type"},
      {"continue_final_message", true, "continue_final_message", "invalid_value"},
  };
  for (const char* name : {"audio", "prediction", "web_search_options", "json_schema",
                           "guided_json", "structured_outputs"}) {
    list.push_back({name, Json::object(), name, "unsupported_parameter"});
  }
  return list;
}

std::vector<Refused> wrong_tools() {
  const auto named = [](const char* name) {
    return Json{{"type", "function"}, {"function", {{"name", name}}}};
  };
  Json many = Json::array();
  for (std::size_t i = 0; i <= limits::kToolsMax; ++i) {
    many.push_back(named(("f" + std::to_string(i)).c_str()));
  }
  Json large = Json::array({named("f")});
  large[0]["function"]["parameters"]["description"] = std::string(limits::kSchemaBytesMax, 'x');
  return {
      {"tools", "x", "tools", "invalid_type"},
      {"tools", {"x"}, "tools[0]", "invalid_type"},
      {"tools", {{{"type", "web_search"}}}, "tools[0].type", "unsupported_parameter"},
      {"tools", {{{"type", "function"}}}, "tools[0].function", "missing_required_parameter"},
      {"tools", {named("f"), named("f")}, "tools[1].function.name", "invalid_value"},
      {"tools", Json::array({named("no spaces")}), "tools[0].function.name", "invalid_value"},
      {"tools", many, "tools", "invalid_value"},
      {"tools", large, "tools", "invalid_value"},
      {"tool_choice", "required", "tool_choice", "invalid_value"},
      {"tool_choice", "sometimes", "tool_choice", "invalid_value"},
      {"tool_choice", named("f"), "tool_choice", "invalid_value"},
      {"tool_choice", {{"type", "function"}}, "tool_choice.function", "missing_required_parameter"},
      {"tool_choice", {{"type", "allowed_tools"}}, "tool_choice.type", "unsupported_parameter"},
  };
}

std::vector<Refused> wrong_messages() {
  const auto one = [](Json message) { return Json::array({std::move(message)}); };
  const auto content = [&](Json value) {
    return one({{"role", "user"}, {"content", std::move(value)}});
  };
  return {
      {"messages", nullptr, "messages", "missing_required_parameter"},
      {"messages", "hi", "messages", "invalid_type"},
      {"messages", Json::array(), "messages", "invalid_value"},
      {"messages", Json(limits::kMessagesMax + 1, content("x")[0]), "messages", "invalid_value"},
      {"messages", one("hi"), "messages[0]", "invalid_type"},
      {"messages", one({{"content", "x"}}), "messages[0].role", "invalid_value"},
      {"messages", one({{"role", "root"}, {"content", "x"}}), "messages[0].role", "invalid_value"},
      {"messages", one({{"role", 3}, {"content", "x"}}), "messages[0].role", "invalid_type"},
      {"messages", one({{"role", "user"}}), "messages[0].content", "missing_required_parameter"},
      {"messages", content(3), "messages[0].content", "invalid_type"},
      {"messages", content(Json::array({{{"type", "image_url"}}})), "messages[0].content",
       "unsupported_parameter"},
      {"messages", content(Json::array({"x"})), "messages[0].content", "unsupported_parameter"},
      {"messages", content(Json::array({{{"type", "text"}}})), "messages[0].content",
       "invalid_type"},
      {"messages", Json::array({{{"role", "assistant"}, {"tool_calls", {{{"id", "c1"}}}}}}),
       "messages[0].tool_calls[0].function", "missing_required_parameter"},
      {"messages",
       Json::array({{{"role", "assistant"}, {"tool_calls", {{{"function", {{"name", "f"}}}}}}}}),
       "messages[0].tool_calls[0].id", "missing_required_parameter"},
      {"messages",
       Json::array({{{"role", "user"},
                     {"content", "a"},
                     {"tool_calls", {{{"id", "c"}, {"function", {{"name", "f"}}}}}}}}),
       "messages[0].tool_calls", "invalid_value"},
      {"messages", one({{"role", "tool"}, {"content", "4"}, {"tool_call_id", "c9"}}),
       "messages[0].tool_call_id", "invalid_value"},
      {"messages", one({{"role", "tool"}, {"content", "4"}}), "messages[0].tool_call_id",
       "missing_required_parameter"},
      {"messages", one({{"role", "function"}, {"name", "f"}, {"content", "4"}}), "messages[0].role",
       "unsupported_parameter"},
      {"messages", one({{"role", "user"}, {"content", "x"}, {"prefix", true}}),
       "messages[0].prefix", "invalid_value"},
  };
}

INSTANTIATE_TEST_SUITE_P(Values, RefusedFields, testing::ValuesIn(wrong_values()));
INSTANTIATE_TEST_SUITE_P(Unsupported, RefusedFields, testing::ValuesIn(unsupported()));
INSTANTIATE_TEST_SUITE_P(Tools, RefusedFields, testing::ValuesIn(wrong_tools()));
INSTANTIATE_TEST_SUITE_P(Messages, RefusedFields, testing::ValuesIn(wrong_messages()));

TEST_P(RefusedFields, NameTheFieldAndTheCode) {
  expect_refusal(chat_with(GetParam().field, GetParam().value), GetParam().param, GetParam().code);
}

TEST(ChatRequest, UnsupportedFieldsThatAskForNothingAreFine) {
  EXPECT_TRUE(chat_with("tools", Json::array()));
  EXPECT_TRUE(chat_with("logprobs", false));
  EXPECT_TRUE(chat_with("best_of", 1));
  EXPECT_TRUE(chat_with("response_format", {{"type", "text"}}));
}

TEST(ChatRequest, ContentParts) {
  const auto call = chat_with(
      "messages",
      {{{"role", "developer"},
        {"content", {{{"type", "text"}, {"text", "one "}}, {{"type", "text"}, {"text", "two"}}}}},
       {{"role", "assistant"},
        {"content", nullptr},
        {"reasoning_content", "hm"},
        {"tool_calls",
         {{{"id", "t1"},
           {"type", "function"},
           {"function", {{"name", "sum"}, {"arguments", "{\"a\":2}"}}}}}}},
       {{"role", "tool"}, {"content", "4"}, {"tool_call_id", "t1"}, {"name", "sum"}},
       {{"role", "assistant"}, {"content", {{{"type", "refusal"}, {"refusal", "no"}}}}},
       {{"role", "user"}, {"content", Json::array()}}});
  ASSERT_TRUE(call) << call.error().message;
  const auto& messages = call->infer.chat().messages();
  EXPECT_EQ(messages[0].content(), "one two");
  EXPECT_EQ(messages[1].content(), "");
  EXPECT_EQ(messages[1].reasoning_content(), "hm");
  ASSERT_EQ(messages[1].tool_calls_size(), 1);
  EXPECT_EQ(messages[1].tool_calls(0).name(), "sum");
  EXPECT_EQ(messages[1].tool_calls(0).arguments(), "{\"a\":2}");
  EXPECT_EQ(messages[2].tool_call_id(), "t1");
  EXPECT_EQ(messages[2].name(), "sum");
  EXPECT_EQ(messages[3].content(), "no");
  EXPECT_EQ(messages[4].content(), "");
}

TEST(ChatRequest, Tools) {
  Json body = chat_json();
  body["tools"] = {function_tool("add"), function_tool("get.weather-2")};
  body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "add"}}}};
  const auto call = chat(body);
  ASSERT_TRUE(call) << call.error().message;
  const ChatPrompt& prompt = call->infer.chat();
  ASSERT_EQ(prompt.tools_size(), 2);
  EXPECT_EQ(prompt.tools(0).parameters(), R"({"type":"object"})");
  EXPECT_EQ(prompt.tool_choice(), TOOL_NAMED);
  EXPECT_EQ(prompt.tool_name(), "add");
  EXPECT_TRUE(prompt.parallel_tool_calls());
  const std::map<std::string, ToolChoice> words = {
      {"auto", TOOL_AUTO}, {"none", TOOL_NONE}, {"required", TOOL_REQUIRED}};
  for (const auto& [word, choice] : words) {
    body["tool_choice"] = word;
    EXPECT_EQ(chat(body)->infer.chat().tool_choice(), choice) << word;
  }
  body["parallel_tool_calls"] = false;
  EXPECT_FALSE(chat(body)->infer.chat().parallel_tool_calls());
}

TEST(ChatRequest, SchemasKeepTheirOrder) {
  RequestReader reader;
  const auto call = reader.chat_completion(
      R"({"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":)"
      R"("json_schema","json_schema":{"name":"n","strict":true,"schema":{"z": 1, "a": [2.5]}}}})");
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->infer.format().json_schema(), R"({"z":1,"a":[2.5]})");
  EXPECT_TRUE(
      chat_with("response_format", {{"type", "json_object"}})->infer.format().json_object());
  EXPECT_EQ(chat_with("grammar", "root ::= \"x\"")->infer.format().grammar(), "root ::= \"x\"");
  Json both = chat_json();
  both["grammar"] = "root ::= \"x\"";
  both["response_format"] = {{"type", "json_object"}};
  expect_refusal(chat(both), "grammar", "invalid_value");
}

TEST(ChatRequest, Thinking) {
  EXPECT_FALSE(chat(chat_json())->infer.chat().has_thinking());
  EXPECT_TRUE(chat_with("thinking", {{"type", "enabled"}})->infer.chat().thinking());
  const auto off = chat_with("thinking", {{"type", "disabled"}});
  EXPECT_TRUE(off->infer.chat().has_thinking() && !off->infer.chat().thinking());
  EXPECT_EQ(
      chat_with("thinking", {{"type", "adaptive"}, {"budget_tokens", 9}})->infer.reasoning_budget(),
      9U);
  EXPECT_EQ(chat_with("reasoning_budget_tokens", 0)->infer.reasoning_budget(), 0U);
  EXPECT_TRUE(chat_with("reasoning_budget_tokens", 0)->infer.has_reasoning_budget());
  EXPECT_FALSE(chat(chat_json())->infer.has_reasoning_budget());
  EXPECT_EQ(chat_with("reasoning_effort", "high")->infer.chat().reasoning_effort(), "high");
  EXPECT_FALSE(chat_with("reasoning_effort", "none")->infer.chat().thinking());
  EXPECT_FALSE(
      chat_with("chat_template_kwargs", {{"enable_thinking", false}})->infer.chat().thinking());
}

TEST(ChatRequest, AnswersMayBeBegun) {
  Json body = chat_json();
  EXPECT_FALSE(chat(body)->infer.chat().continue_last());
  body["messages"].push_back({{"role", "assistant"}, {"content", "Once"}, {"prefix", true}});
  EXPECT_TRUE(chat(body)->infer.chat().continue_last());
  body["messages"][1].erase("prefix");
  EXPECT_FALSE(chat(body)->infer.chat().continue_last());
  body["continue_final_message"] = true;
  EXPECT_TRUE(chat(body)->infer.chat().continue_last());
}

TEST(ChatRequest, LogprobsAdaptersAndPriority) {
  Json body = chat_json();
  body.update({{"logprobs", true},
               {"top_logprobs", 5},
               {"adapter", "poet"},
               {"adapter_scale", 0.5},
               {"priority", 3},
               {"repetition_penalty", 1.5}});
  const auto call = chat(body);
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_TRUE(call->infer.logprobs());
  EXPECT_EQ(call->infer.top_logprobs(), 5U);
  EXPECT_EQ(call->infer.adapter(), "poet");
  EXPECT_EQ(call->infer.adapter_scale(), 0.5F);
  EXPECT_EQ(call->infer.priority(), 3U);
  EXPECT_EQ(call->infer.sampling().repeat_penalty(), 1.5F);
  EXPECT_EQ(chat_with("priority", -5)->infer.priority(), 0U);
}

TEST(ChatRequest, LimitsThemselvesAreAccepted) {
  EXPECT_TRUE(chat_with("messages", Json(limits::kMessagesMax, chat_json()["messages"][0])));
  EXPECT_TRUE(chat_with("stop", Json(4, std::string(256, 'x'))));
  EXPECT_TRUE(chat_with("n", 4));
  Json biases = Json::object();
  for (std::size_t token = 0; token < limits::kLogitBiasMax; ++token) {
    biases[std::to_string(token)] = 1;
  }
  EXPECT_TRUE(chat_with("logit_bias", biases));
  biases["999"] = 1;
  expect_refusal(chat_with("logit_bias", biases), "logit_bias", "invalid_value");
}

TEST(ChatRequest, WhatIsNoObjectIsNoRequest) {
  RequestReader reader;
  for (const char* body : {"", " ", "{", "[]", "3", "\"x\"", "null", "{}{}", "{\"a\":1,}",
                           "{'a':1}", "{\"a\":\"\xff\"}", "{\"a\":\"\\ud800\"}", "\xff\xfe",
                           "{\"a\":\"\n\"}", "{\"model\":NaN}"}) {
    expect_refusal(reader.chat_completion(body), "", "invalid_json");
  }
}

TEST(ChatRequest, DepthIsBounded) {
  RequestReader reader;
  const auto nested = [](std::size_t levels) {
    return R"({"model":"m","messages":[{"role":"user","content":"x"}],"extra":)" +
           std::string(levels, '[') + std::string(levels, ']') + "}";
  };
  EXPECT_TRUE(reader.chat_completion(nested(limits::kJsonDepthMax - 2)));
  expect_refusal(reader.chat_completion(nested(limits::kJsonDepthMax + 1)), "", "json_too_deep");
  expect_refusal(reader.chat_completion(nested(100'000)), "", "json_too_deep");
  EXPECT_TRUE(reader.chat_completion(chat_json().dump())) << "the reader lives on";
}

TEST(RequestReader, AnyObjectAsATreeWithinTheSameLimits) {
  RequestReader reader;
  const auto nested = [](std::size_t levels) {
    return R"({"a":)" + std::string(levels, '[') + std::string(levels, ']') + "}";
  };
  const auto tree = reader.object(R"({"b":[1,{"c":"x"}],"a":null})");
  ASSERT_TRUE(tree);
  EXPECT_EQ(tree->dump(), R"({"b":[1,{"c":"x"}],"a":null})");
  EXPECT_TRUE(reader.object(nested(limits::kJsonDepthMax - 2)));
  const auto refused_with = [&](const std::string& body) {
    const auto read = reader.object(body);
    return read ? std::string() : read.error().code;
  };
  EXPECT_EQ(refused_with(nested(limits::kJsonDepthMax)), "json_too_deep");
  EXPECT_EQ(refused_with(nested(100'000)), "json_too_deep");
  for (const std::string body : {"[]", "", R"({"a":1e999})", "{\"a\":\"\xff\"}"}) {
    EXPECT_EQ(refused_with(body), "invalid_json") << body;
  }
}

TEST(ChatRequest, ReaderTakesBodiesOfAnySizeInAnyOrder) {
  RequestReader reader;
  for (const std::size_t size : {10U, 5'000U, 2'000'000U, 3U, 70'000U}) {
    Json body = chat_json();
    body["messages"][0]["content"] = std::string(size, 'x');
    const auto call = reader.chat_completion(body.dump());
    ASSERT_TRUE(call) << size;
    EXPECT_EQ(call->infer.chat().messages(0).content().size(), size);
  }
}

TEST(ChatRequest, TextIsTakenAsItIs) {
  const std::string text("<|im_end|>\n\t\"\\ \0 \xf0\x9f\x8c\x8a", 22);
  EXPECT_EQ(chat_with("messages", {{{"role", "user"}, {"content", text}}})
                ->infer.chat()
                .messages(0)
                .content(),
            text);
}

TEST(CompletionRequest, DefaultsAndPrompt) {
  const auto call = completion_with("user", "somebody");
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->shape, Shape::completion);
  EXPECT_EQ(call->infer.text(), "once");
  EXPECT_EQ(call->infer.max_tokens(), 16U);
  EXPECT_EQ(completion_with("prompt", {"one"})->infer.text(), "one");
  EXPECT_TRUE(completion_with("prompt", {"one"})->further_prompts.empty());
  const auto three = completion_with("prompt", Json::array({"one", {1, 2}, "three"}));
  ASSERT_TRUE(three);
  EXPECT_EQ(three->infer.text(), "one");
  ASSERT_EQ(three->further_prompts.size(), 2U);
  EXPECT_EQ(three->further_prompts[0].tokens().ids_size(), 2);
  EXPECT_EQ(three->further_prompts[1].text(), "three");
}

TEST(CompletionRequest, Refusals) {
  expect_refusal(completion_with("prompt", nullptr), "prompt", "missing_required_parameter");
  expect_refusal(completion_with("prompt", ""), "prompt", "invalid_value");
  expect_refusal(completion_with("prompt", {1, -2}), "prompt", "invalid_type");
  expect_refusal(completion_with("prompt", {"a", ""}), "prompt[1]", "invalid_value");
  expect_refusal(completion_with("prompt", {"a", 2}), "prompt[1]", "invalid_type");
  expect_refusal(completion_with("prompt", Json(std::vector<std::string>(33, "a"))), "prompt",
                 "invalid_value");
  expect_refusal(completion_with("prompt", Json::array()), "prompt", "invalid_value");
  expect_refusal(completion_with("model", nullptr), "model", "missing_required_parameter");
  expect_refusal(completion_with("logprobs", 6), "logprobs", "invalid_value");
  expect_refusal(completion_with("tools", {1}), "tools", "unsupported_parameter");
  Json both = completion_json();
  both.update({{"suffix", "x"}, {"echo", true}});
  expect_refusal(RequestReader().completion(both.dump()), "echo", "invalid_value");
}

TEST(CompletionRequest, TokensSuffixEchoAndLogprobs) {
  const auto tokens = completion_with("prompt", {5, 6, 7});
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->infer.tokens().ids_size(), 3);
  const auto nested = completion_with("prompt", Json::array({{5, 6}}));
  ASSERT_TRUE(nested);
  EXPECT_EQ(nested->infer.tokens().ids(1), 6);
  const auto fill = completion_with("suffix", " end");
  ASSERT_TRUE(fill);
  EXPECT_EQ(fill->infer.fill().prefix(), "once");
  EXPECT_EQ(fill->infer.fill().suffix(), " end");
  EXPECT_TRUE(completion_with("echo", true)->infer.echo());
  EXPECT_TRUE(completion_with("logprobs", 0)->infer.logprobs());
  EXPECT_EQ(completion_with("logprobs", 2)->infer.top_logprobs(), 2U);
  EXPECT_FALSE(completion_with("logprobs", nullptr)->infer.logprobs());
}

TEST(PredictRequest, ShapesAndRefusals) {
  RequestReader reader;
  const auto call = reader.predict(R"({"input":"hello"})");
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->shape, Shape::predict);
  EXPECT_EQ(call->model, ModelName());
  ASSERT_EQ(call->infer.chat().messages_size(), 1);
  EXPECT_EQ(call->infer.chat().messages(0).role(), "user");
  EXPECT_EQ(call->infer.chat().messages(0).content(), "hello");
  EXPECT_EQ(reader.predict(R"({"model":"m","input":"x","n":2})")->model, ModelName("m"));
  EXPECT_FALSE(reader.predict("{}"));
  EXPECT_FALSE(reader.predict(R"({"input":3})"));
}

TEST(AdminBodies, ReasonAndExpiry) {
  RequestReader reader;
  EXPECT_EQ(reader.reason("").value(), "");
  EXPECT_EQ(reader.reason("{}").value(), "");
  EXPECT_EQ(reader.reason(R"({"reason":"lost"})").value(), "lost");
  EXPECT_EQ(reader.reason(R"({"reason":1})").error().param, "reason");
  EXPECT_EQ(reader.expires_at(R"({"expires_at":1800000000})").value(), 1'800'000'000);
  EXPECT_EQ(reader.expires_at("{}").error().code, "missing_required_parameter");
  EXPECT_EQ(reader.expires_at(R"({"expires_at":-1})").error().param, "expires_at");
}

TEST(AdminBodies, Webhooks) {
  RequestReader reader;
  const auto all = reader.webhook(R"({"url":"https://a/","tenant":"hr","events":["x","y"]})");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->url, "https://a/");
  EXPECT_EQ(all->tenant, "hr");
  EXPECT_EQ(all->events, (std::vector<std::string>{"x", "y"}));
  EXPECT_FALSE(reader.webhook("{}")->tenant);
  EXPECT_EQ(reader.webhook(R"({"url":1})").error().param, "url");
  EXPECT_EQ(reader.webhook(R"({"events":"x"})").error().param, "events");
  EXPECT_EQ(reader.webhook(R"({"events":[1]})").error().param, "events");
  EXPECT_EQ(reader.webhook("{").error().code, "invalid_json");
  EXPECT_EQ(reader.webhook("[]").error().code, "invalid_json");
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_EQ(reader.webhook(R"({"x":)" + deep + "}").error().code, "json_too_deep");
}

TEST(AdminBodies, Certificates) {
  RequestReader reader;
  const auto all = reader.certificate(R"({"client_id":"shop","tenant":"hr","days":30})");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->client_id, "shop");
  EXPECT_EQ(all->tenant, "hr");
  EXPECT_EQ(all->days, 30);
  EXPECT_EQ(reader.certificate("{}")->days, 365);
  EXPECT_EQ(reader.certificate(R"({"days":-1})")->days, -1) << "for whoever knows the bounds";
  EXPECT_EQ(reader.certificate(R"({"days":"30"})").error().param, "days");
  EXPECT_EQ(reader.certificate(R"({"days":1e30})").error().param, "days");
}

TEST(SecondFactorRequests, AreRead) {
  RequestReader reader;
  const auto least = reader.second_factor(R"({"client_id":"app"})");
  ASSERT_TRUE(least);
  EXPECT_EQ(least->client_id, "app");
  EXPECT_EQ(least->tenant, "default");
  EXPECT_EQ(least->algorithm, "totp-sha1");
  EXPECT_EQ(least->one_time_password, "");
  const auto all = reader.second_factor(
      R"({"client_id":"a","tenant":"t","algorithm":"totp-sm3","one_time_password":"000001"})");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->tenant, "t");
  EXPECT_EQ(all->algorithm, "totp-sm3");
  EXPECT_EQ(all->one_time_password, "000001");
  EXPECT_EQ(reader.second_factor("{}").error().param, "client_id");
  EXPECT_EQ(reader.one_time_password(R"({"one_time_password":"000001"})").value(), "000001");
  EXPECT_EQ(reader.one_time_password("{}").error().code, "missing_required_parameter");
  EXPECT_EQ(reader.one_time_password(R"({"one_time_password":1})").error().code, "invalid_type")
      << "a number has lost its zeros";
}

// Whatever somebody sends is a value, or a refusal that is his fault and says so.
template <class T>
void must_be_decided(const OrRefusal<T>& answer) {
  if (!answer) {
    RC_ASSERT(answer.error().status == 400);
    RC_ASSERT(!answer.error().code.empty());
    RC_ASSERT(!answer.error().message.empty());
  }
}

void read_every_way(const std::string& body) {
  RequestReader reader;
  must_be_decided(reader.chat_completion(body));
  must_be_decided(reader.completion(body));
  must_be_decided(reader.predict(body));
  must_be_decided(reader.embeddings(body));
  must_be_decided(reader.rerank(body));
  must_be_decided(reader.message(body));
  must_be_decided(reader.token_count(body));
  must_be_decided(reader.response(body));
  must_be_decided(reader.create_key(body));
  must_be_decided(reader.change_key(body));
  must_be_decided(reader.create_tenant(body));
  must_be_decided(reader.change_tenant(body));
  must_be_decided(reader.reason(body));
  must_be_decided(reader.expires_at(body));
  must_be_decided(reader.second_factor(body));
  must_be_decided(reader.webhook(body));
  must_be_decided(reader.certificate(body));
  must_be_decided(reader.one_time_password(body));
}

RC_GTEST_PROP(Requests, AnyBytesAreDecided, (const std::string& body)) {
  read_every_way(body);
}

RC_GTEST_PROP(Requests, AnyDamageIsDecided, ()) {
  std::string body =
      R"({"model":"m","prompt":["p"],"input":"i","client_id":"c","stop":["a"],"n":2,)"
      R"("messages":[{"role":"user","content":[{"type":"text","text":"hé\u00e9"}]}],)"
      R"("logit_bias":{"1":-5.5e-1},"stream":true,"stream_options":{"include_usage":false}})";
  const auto changes = *rc::gen::inRange(1, 6);
  for (int i = 0; i < changes; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, body.size());
    switch (*rc::gen::inRange(0, 3)) {
      case 0:
        body[at] = *rc::gen::arbitrary<char>();
        break;
      case 1:
        body.erase(at, *rc::gen::inRange<std::size_t>(1, 12));
        break;
      default:
        body.insert(at, body.substr(*rc::gen::inRange<std::size_t>(0, body.size()), 9));
        break;
    }
    RC_PRE(!body.empty());
  }
  read_every_way(body);
}

RC_GTEST_PROP(Requests, AnyValueOfAnyFieldIsDecided, ()) {
  Json body = chat_json();
  body.update({{"prompt", "p"},
               {"temperature", 1},
               {"stop", "x"},
               {"seed", 1},
               {"n", 1},
               {"tools", {function_tool("f")}},
               {"tool_choice", "auto"},
               {"input", "i"},
               {"response_format", {{"type", "text"}}},
               {"thinking", {{"type", "enabled"}}},
               {"documents", {"a"}},
               {"query", "q"},
               {"system", "s"},
               {"text", Json::object()},
               {"reasoning", Json::object()},
               {"suffix", "s"},
               {"include", Json::array()}});
  const auto values = std::vector<Json>{nullptr,
                                        true,
                                        -1,
                                        0.5,
                                        1e308,
                                        18446744073709551615ULL,
                                        "",
                                        std::string(1000, 'x'),
                                        Json::array(),
                                        Json::object(),
                                        Json::array({nullptr}),
                                        Json::object({{"type", 3}})};
  std::vector<std::string> names;
  for (const auto& [name, value] : body.items()) {
    names.push_back(name);
  }
  for (int i = 0; i < 3; ++i) {
    body[*rc::gen::elementOf(names)] = *rc::gen::elementOf(values);
  }
  read_every_way(body.dump());
}

}  // namespace
}  // namespace deepmoat::wire
