// Bodies of the embeddings, rerank, Anthropic and responses interfaces.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "wire/request_reader.h"

namespace deepmoat::wire {
namespace {

using Json = nlohmann::json;
using Parse = OrRefusal<InferenceCall> (RequestReader::*)(std::string_view);

OrRefusal<InferenceCall> read(Parse parse, const Json& body) {
  RequestReader reader;
  return (reader.*parse)(body.dump());
}

struct Refused {
  Json change;
  const char* param;
  const char* code;
};

// Each change to a good body is refused for its own reason.
void expect_refusals(Parse parse, const Json& good, const std::vector<Refused>& cases) {
  ASSERT_TRUE(read(parse, good)) << read(parse, good).error().message;
  for (const Refused& refused : cases) {
    Json body = good;
    body.update(refused.change);
    const auto call = read(parse, body);
    ASSERT_FALSE(call) << refused.change.dump();
    EXPECT_EQ(call.error().status, 400);
    EXPECT_EQ(call.error().param, refused.param) << refused.change.dump();
    EXPECT_EQ(call.error().code, refused.code) << refused.change.dump();
  }
}

// --- embeddings and rerank ---

TEST(EmbeddingsRequest, AllShapesOfInput) {
  const auto inputs = [](Json input) {
    return read(&RequestReader::embeddings, {{"model", "m"}, {"input", std::move(input)}});
  };
  EXPECT_EQ(inputs("a")->infer.embed().inputs(0).text(), "a");
  EXPECT_EQ(inputs({"a", "b"})->infer.embed().inputs(1).text(), "b");
  EXPECT_EQ(inputs({5, 6})->infer.embed().inputs(0).tokens().ids(1), 6);
  EXPECT_EQ(inputs({5, 6})->infer.embed().inputs_size(), 1);
  EXPECT_EQ(inputs({{5, 6}, {7}})->infer.embed().inputs(1).tokens().ids(0), 7);
  EXPECT_EQ(inputs(Json(limits::kEmbedInputsMax, "x"))->infer.embed().inputs_size(), 2048);
}

TEST(EmbeddingsRequest, Options) {
  const auto call = read(&RequestReader::embeddings, {{"model", "m"},
                                                      {"input", "x"},
                                                      {"encoding_format", "base64"},
                                                      {"dimensions", 256},
                                                      {"user", "u"}});
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->shape, Shape::embeddings);
  EXPECT_TRUE(call->options.base64);
  EXPECT_EQ(call->infer.embed().dimensions(), 256U);
  EXPECT_FALSE(call->stream);
}

TEST(EmbeddingsRequest, Refusals) {
  expect_refusals(&RequestReader::embeddings, {{"model", "m"}, {"input", "x"}},
                  {{{{"model", nullptr}}, "model", "missing_required_parameter"},
                   {{{"input", nullptr}}, "input", "missing_required_parameter"},
                   {{{"input", ""}}, "input", "invalid_value"},
                   {{{"input", Json::array()}}, "input", "invalid_value"},
                   {{{"input", {"a", ""}}}, "input[1]", "invalid_value"},
                   {{{"input", {"a", 3}}}, "input[1]", "invalid_type"},
                   {{{"input", {3, "a"}}}, "input", "invalid_type"},
                   {{{"input", Json::array({Json::array()})}}, "input[0]", "invalid_value"},
                   {{{"input", Json(limits::kEmbedInputsMax + 1, "x")}}, "input", "invalid_value"},
                   {{{"encoding_format", "hex"}}, "encoding_format", "invalid_value"},
                   {{{"dimensions", 0}}, "dimensions", "invalid_value"}});
}

TEST(RerankRequest, DocumentsAreTextsOrObjects) {
  const Json body = {{"model", "m"},
                     {"query", "q"},
                     {"documents", {"a", {{"text", "b"}, {"title", "t"}}}},
                     {"top_n", 1}};
  const auto call = read(&RequestReader::rerank, body);
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->infer.rerank().query(), "q");
  ASSERT_EQ(call->infer.rerank().documents_size(), 2);
  EXPECT_EQ(call->infer.rerank().documents(1), "b");
  EXPECT_EQ(call->options.top_n, 1U);
  EXPECT_EQ(call->options.documents, (std::vector<std::string>{"a", "b"}));
  Json bare = body;
  bare["return_documents"] = false;
  EXPECT_TRUE(read(&RequestReader::rerank, bare)->options.documents.empty());
}

TEST(RerankRequest, Refusals) {
  expect_refusals(
      &RequestReader::rerank, {{"model", "m"}, {"query", "q"}, {"documents", {"a"}}},
      {{{{"query", nullptr}}, "query", "missing_required_parameter"},
       {{{"query", ""}}, "query", "invalid_value"},
       {{{"documents", nullptr}}, "documents", "missing_required_parameter"},
       {{{"documents", Json::array()}}, "documents", "invalid_value"},
       {{{"documents", {3}}}, "documents[0]", "invalid_type"},
       {{{"documents", {{{"title", "x"}}}}}, "documents[0].text", "missing_required_parameter"},
       {{{"top_n", 0}}, "top_n", "invalid_value"}});
}

// --- Anthropic ---

Json message_body() {
  return {
      {"model", "m"}, {"max_tokens", 9}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}};
}

// nlohmann-json takes {x} for x: what must be a list becomes one.
Json listed(Json value) {
  return value.is_object() ? Json::array({value}) : value;
}

Json user(Json content) {
  content = listed(std::move(content));
  return {{"role", "user"}, {"content", std::move(content)}};
}

Json assistant(Json content) {
  return {{"role", "assistant"}, {"content", std::move(content)}};
}

TEST(MessageRequest, FieldsArrive) {
  Json body = message_body();
  body.update(
      {{"system", {{{"type", "text"}, {"text", "be "}}, {{"type", "text"}, {"text", "kind"}}}},
       {"temperature", 0.5},
       {"top_k", 5},
       {"stop_sequences", {"END"}},
       {"stream", true},
       {"thinking", {{"type", "enabled"}, {"budget_tokens", 64}}},
       {"metadata", {{"user_id", "x"}}},
       {"output_config",
        {{"effort", "low"},
         {"format", {{"type", "json_schema"}, {"schema", {{"type", "object"}}}}}}},
       {"tools", {{{"name", "add"}, {"input_schema", {{"type", "object"}}}}}},
       {"tool_choice", {{"type", "any"}, {"disable_parallel_tool_use", true}}}});
  const auto call = read(&RequestReader::message, body);
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->shape, Shape::message);
  EXPECT_TRUE(call->stream);
  const ChatPrompt& chat = call->infer.chat();
  ASSERT_EQ(chat.messages_size(), 2);
  EXPECT_EQ(chat.messages(0).role(), "system");
  EXPECT_EQ(chat.messages(0).content(), "be kind");
  EXPECT_EQ(call->infer.max_tokens(), 9U);
  EXPECT_EQ(call->infer.stop(0), "END");
  EXPECT_EQ(call->infer.sampling().top_k(), 5);
  EXPECT_TRUE(chat.thinking());
  EXPECT_EQ(chat.reasoning_effort(), "low");
  EXPECT_EQ(call->infer.reasoning_budget(), 64U);
  EXPECT_EQ(call->infer.format().json_schema(), R"({"type":"object"})");
  EXPECT_EQ(chat.tools(0).parameters(), R"({"type":"object"})");
  EXPECT_EQ(chat.tool_choice(), TOOL_REQUIRED);
  EXPECT_FALSE(chat.parallel_tool_calls());
}

TEST(MessageRequest, BlocksBecomeMessagesInTheirOrder) {
  Json body = message_body();
  body["messages"] = {
      user("1+2?"),
      assistant({{{"type", "thinking"}, {"thinking", "hm"}, {"signature", "s"}},
                 {{"type", "text"}, {"text", "Adding."}},
                 {{"type", "tool_use"}, {"id", "c1"}, {"name", "add"}, {"input", {{"a", 1}}}},
                 {{"type", "tool_use"}, {"id", "c2"}, {"name", "add"}, {"input", Json::object()}}}),
      user({{{"type", "tool_result"}, {"tool_use_id", "c1"}, {"content", "3"}},
            {{"type", "tool_result"},
             {"tool_use_id", "c2"},
             {"content", {{{"type", "text"}, {"text", "0"}}}}},
            {{"type", "text"}, {"text", "So?"}}})};
  const auto call = read(&RequestReader::message, body);
  ASSERT_TRUE(call) << call.error().message;
  const auto& messages = call->infer.chat().messages();
  ASSERT_EQ(messages.size(), 5);
  EXPECT_EQ(messages[1].reasoning_content(), "hm");
  EXPECT_EQ(messages[1].content(), "Adding.");
  ASSERT_EQ(messages[1].tool_calls_size(), 2);
  EXPECT_EQ(messages[1].tool_calls(0).arguments(), R"({"a":1})");
  EXPECT_EQ(messages[2].role(), "tool");
  EXPECT_EQ(messages[2].tool_call_id(), "c1");
  EXPECT_EQ(messages[3].content(), "0");
  EXPECT_EQ(messages[4].role(), "user");
  EXPECT_EQ(messages[4].content(), "So?");
  EXPECT_FALSE(call->infer.chat().continue_last());
}

TEST(MessageRequest, ALastMessageOfTheAssistantIsTheBeginningOfTheAnswer) {
  Json body = message_body();
  body["messages"].push_back(assistant("The answer is"));
  EXPECT_TRUE(read(&RequestReader::message, body)->infer.chat().continue_last());
}

TEST(MessageRequest, Refusals) {
  const auto messages = [](Json list) { return Json{{"messages", listed(std::move(list))}}; };
  const Json image = {{"type", "image"}, {"source", {{"type", "base64"}}}};
  expect_refusals(
      &RequestReader::message, message_body(),
      {{{{"max_tokens", nullptr}}, "max_tokens", "missing_required_parameter"},
       {{{"max_tokens", 0}}, "max_tokens", "invalid_value"},
       {{{"system", 3}}, "system", "invalid_type"},
       {{{"mcp_servers", {Json::object()}}}, "mcp_servers", "unsupported_parameter"},
       {{{"tools", {{{"type", "web_search_20250305"}, {"name", "w"}}}}},
        "tools[0].type",
        "unsupported_parameter"},
       {{{"tool_choice", {{"type", "tool"}, {"name", "x"}}}}, "tool_choice", "invalid_value"},
       {{{"tool_choice", {{"type", "all"}}}}, "tool_choice.type", "invalid_value"},
       {messages({{{"role", "system"}, {"content", "x"}}}), "messages[0].role", "invalid_value"},
       {messages({{{"role", "user"}}}), "messages[0].content", "missing_required_parameter"},
       {messages({user({image})}), "messages[0].content[0]", "unsupported_parameter"},
       {messages({user(Json::array({"x"}))}), "messages[0].content[0]", "invalid_type"},
       {messages({user({{{"type", "tool_result"}, {"tool_use_id", "c9"}}})}),
        "messages[0].content[0].tool_use_id", "invalid_value"},
       {messages({user({{{"type", "tool_use"}, {"id", "c"}, {"name", "f"}}})}),
        "messages[0].content[0]", "unsupported_parameter"},
       {messages({user("x"), assistant({{{"type", "tool_use"}, {"id", "c"}, {"name", "f"}}})}),
        "messages", "invalid_value"}});
}

TEST(TokenCountRequest, NeedsNoMaxTokens) {
  Json body = message_body();
  body.erase("max_tokens");
  const auto call = read(&RequestReader::token_count, body);
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->shape, Shape::token_count);
  EXPECT_TRUE(call->infer.count_only());
  EXPECT_FALSE(read(&RequestReader::message, body));
}

// --- responses ---

TEST(ResponseRequest, TextAndSettings) {
  const auto call = read(
      &RequestReader::response,
      {{"model", "m"},
       {"input", "hello"},
       {"instructions", "be kind"},
       {"max_output_tokens", 9},
       {"temperature", 0.5},
       {"store", true},
       {"reasoning", {{"effort", "low"}}},
       {"text",
        {{"format", {{"type", "json_schema"}, {"name", "n"}, {"schema", {{"type", "object"}}}}}}},
       {"include", {"message.output_text.logprobs"}},
       {"tools", {{{"type", "function"}, {"name", "add"}}}},
       {"tool_choice", {{"type", "function"}, {"name", "add"}}}});
  ASSERT_TRUE(call) << call.error().message;
  const ChatPrompt& chat = call->infer.chat();
  ASSERT_EQ(chat.messages_size(), 2);
  EXPECT_EQ(chat.messages(0).role(), "system");
  EXPECT_EQ(chat.messages(1).content(), "hello");
  EXPECT_EQ(call->infer.max_tokens(), 9U);
  EXPECT_EQ(chat.reasoning_effort(), "low");
  EXPECT_EQ(call->infer.format().json_schema(), R"({"type":"object"})");
  EXPECT_TRUE(call->infer.logprobs());
  EXPECT_EQ(chat.tool_choice(), TOOL_NAMED);
  const Json settings = Json::parse("{" + call->options.settings + "}");
  EXPECT_EQ(settings["instructions"], "be kind");
  EXPECT_EQ(settings["temperature"], 0.5);
  EXPECT_EQ(settings["top_p"], 1.0);
  EXPECT_EQ(settings["tools"][0]["name"], "add");
}

TEST(ResponseRequest, OneTurnOfTheAssistantIsOneMessage) {
  const Json body = {
      {"model", "m"},
      {"input",
       {{{"role", "user"}, {"content", {{{"type", "input_text"}, {"text", "1+2?"}}}}},
        {{"type", "reasoning"},
         {"summary", Json::array()},
         {"content", {{{"type", "reasoning_text"}, {"text", "hm"}}}}},
        {{"type", "message"},
         {"role", "assistant"},
         {"content", {{{"type", "output_text"}, {"text", "Adding."}}}}},
        {{"type", "function_call"}, {"call_id", "c1"}, {"name", "add"}, {"arguments", "{}"}},
        {{"type", "function_call"}, {"call_id", "c2"}, {"name", "add"}, {"arguments", "{}"}},
        {{"type", "function_call_output"}, {"call_id", "c1"}, {"output", "3"}},
        {{"type", "function_call_output"}, {"call_id", "c2"}, {"output", "4"}}}}};
  const auto call = read(&RequestReader::response, body);
  ASSERT_TRUE(call) << call.error().message;
  const auto& messages = call->infer.chat().messages();
  ASSERT_EQ(messages.size(), 4);
  EXPECT_EQ(messages[1].reasoning_content(), "hm");
  EXPECT_EQ(messages[1].content(), "Adding.");
  EXPECT_EQ(messages[1].tool_calls_size(), 2);
  EXPECT_EQ(messages[3].tool_call_id(), "c2");
}

TEST(ResponseRequest, Refusals) {
  const auto item = [](Json one) { return Json{{"input", Json::array({std::move(one)})}}; };
  expect_refusals(
      &RequestReader::response, {{"model", "m"}, {"input", "x"}},
      {{{{"input", nullptr}}, "input", "missing_required_parameter"},
       {{{"input", 3}}, "input", "invalid_type"},
       {{{"previous_response_id", "resp_1"}}, "previous_response_id", "unsupported_parameter"},
       {{{"background", true}}, "background", "unsupported_parameter"},
       {{{"conversation", "c"}}, "conversation", "unsupported_parameter"},
       {{{"truncation", "auto"}}, "truncation", "unsupported_parameter"},
       {{{"tools", {{{"type", "web_search"}}}}}, "tools[0].type", "unsupported_parameter"},
       {{{"tool_choice", {{"type", "function"}, {"name", "f"}}}}, "tool_choice", "invalid_value"},
       {{{"top_logprobs", 6}}, "top_logprobs", "invalid_value"},
       {item({{"type", "item_reference"}, {"id", "x"}}), "input[0].type", "unsupported_parameter"},
       {item({{"type", "function_call_output"}, {"call_id", "c"}, {"output", "x"}}),
        "input[0].call_id", "invalid_value"},
       {item({{"role", "user"}, {"content", {{{"type", "input_image"}}}}}), "input[0].content",
        "unsupported_parameter"},
       {item({{"role", "tool"}, {"content", "x"}}), "input[0].role", "invalid_value"}});
}

}  // namespace
}  // namespace deepmoat::wire
