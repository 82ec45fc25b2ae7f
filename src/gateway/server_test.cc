#include "gateway/server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;

std::string get(const std::string& path, const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
}

std::string post(const std::string& path, const std::string& body,
                 const std::string& headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + headers + "\r\n" + body;
}

std::string bearer(const std::string& key) {
  return "Authorization: Bearer " + key + "\r\n";
}

std::string chat_body(const std::string& content, Json more = Json::object()) {
  more["model"] = "demo";
  more["messages"] = {{{"role", "user"}, {"content", content}}};
  return more.dump();
}

int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.") ? std::stoi(answer.substr(9, 3)) : 0;
}

std::string body_of(const std::string& answer) {
  return answer.substr(answer.find("\r\n\r\n") + 4);
}

std::string code_of(const std::string& answer) {
  const Json body = Json::parse(body_of(answer));
  EXPECT_EQ(body.at("error").size(), 4U);
  for (const char* key : {"message", "type", "param", "code"}) {
    EXPECT_TRUE(body.at("error").contains(key)) << key;
  }
  return body.at("error").at("code");
}

// The key as a client sends it.
std::string make_key(ScratchServer& server, identity::Role role) {
  const auto made = server.keys().create(ScratchServer::boss(),
                                         {.client_id = "client", .role = role, .label = ""});
  EXPECT_TRUE(made) << made.error().message;
  return made ? std::string(made->shown.reveal()) : "";
}

// One server for all tests: none of them breaks it, and that is the point.
class ServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = std::make_unique<ScratchServer>();
    keys_.clear();
  }
  static void TearDownTestSuite() { shared_.reset(); }
  static ScratchServer& server() { return *shared_; }

  static std::string ask(const std::string& request) {
    RawClient client = server().client();
    client.send(request);
    return client.answer();
  }
  static const std::string& key(identity::Role role) {
    auto found = keys_.find(role);
    if (found == keys_.end()) {
      found = keys_.emplace(role, make_key(server(), role)).first;
    }
    return found->second;
  }
  static std::string chat(const std::string& content, Json more = Json::object()) {
    return post("/v1/chat/completions", chat_body(content, std::move(more)),
                bearer(key(identity::Role::user)));
  }

 private:
  static inline std::unique_ptr<ScratchServer> shared_;
  static inline std::map<identity::Role, std::string> keys_;
};

// Malformed HTTP: an answer of refusal or a close, never success and never a second request found
// where a proxy in front would have seen the first one's body.

struct Malformed {
  const char* name;
  std::string bytes;
};
void PrintTo(const Malformed& malformed, std::ostream* out) {
  *out << malformed.name;
}
class MalformedHttp : public ServerTest, public testing::WithParamInterface<Malformed> {};

std::vector<Malformed> request_lines() {
  const std::string host = "\r\nHost: a\r\n\r\n";
  return {
      {"no_version", "GET /livez" + host},
      {"two_spaces", "GET  /livez HTTP/1.1" + host},
      {"two_spaces_before_version", "GET /livez  HTTP/1.1" + host},
      {"leading_space", " GET /livez HTTP/1.1" + host},
      {"trailing_space", "GET /livez HTTP/1.1 " + host},
      {"tab_for_space", "GET\t/livez HTTP/1.1" + host},
      {"version_2", "GET /livez HTTP/2.0" + host},
      {"version_0_9", "GET /livez HTTP/0.9" + host},
      {"version_9_9", "GET /livez HTTP/9.9" + host},
      {"version_long", "GET /livez HTTP/1.10" + host},
      {"version_lower_case", "GET /livez http/1.1" + host},
      {"version_of_another", "GET /livez ICAP/1.0" + host},
      {"nul_in_method", std::string("G\0T /livez HTTP/1.1", 19) + host},
      {"nul_in_target", std::string("GET /livez\0 HTTP/1.1", 20) + host},
      {"space_in_target", "GET /livez x HTTP/1.1" + host},
      {"control_in_target", "GET /livez\x01 HTTP/1.1" + host},
      {"bracket_in_method", "GE(T /livez HTTP/1.1" + host},
      {"no_method", "/livez HTTP/1.1" + host},
      {"bare_lf", "GET /livez HTTP/1.1\nHost: a\n\n"},
      {"bare_cr", "GET /livez HTTP/1.1\rHost: a\r\r"},
      {"http2_preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {"tls_hello", std::string("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 15)},
      {"long_target", "GET /" + std::string(20'000, 'a') + " HTTP/1.1" + host},
      {"endless_target", "GET /" + std::string(200'000, 'a')},
      {"asterisk", "GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
  };
}

std::vector<Malformed> header_lines() {
  const auto with = [](const std::string& line) {
    return "GET /livez HTTP/1.1\r\nHost: a\r\n" + line + "\r\n\r\n";
  };
  std::string many;
  for (int i = 0; i < 2'000; ++i) {
    many += "x-header-" + std::to_string(i) + ": v\r\n";
  }
  return {
      {"no_colon", with("x-header")},
      {"space_before_colon", with("x-header : v")},
      {"empty_name", with(": v")},
      {"nul_in_name", with(std::string("x\0y: v", 6))},
      {"nul_in_value", with(std::string("x: a\0b", 6))},
      {"control_in_value", with("x: a\x01"
                                "b")},
      {"bare_cr_in_value", with("x: a\rb")},
      {"bare_lf_after_value", "GET /livez HTTP/1.1\r\nHost: a\n\r\n"},
      {"non_ascii_name", with("x\xc3\xa9: v")},
      {"no_host", "GET /livez HTTP/1.1\r\n\r\n"},
      {"two_hosts", with("Host: b")},
      {"big_header", with("x: " + std::string(20'000, 'v'))},
      {"many_headers", with(many + "x: y")},
      {"endless_header", "GET /livez HTTP/1.1\r\nx: " + std::string(200'000, 'v')},
  };
}

std::vector<Malformed> framings() {
  const auto with = [](const std::string& lines, const std::string& body) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n" + body;
  };
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  const std::string length = "Content-Length: 5\r\n";
  const std::string end = "0\r\n\r\n";
  return {
      {"two_lengths", with("Content-Length: 6\r\n" + length, "hello")},
      {"two_lengths_in_one", with("Content-Length: 5, 6\r\n", "hello")},
      {"length_signed", with("Content-Length: +5\r\n", "hello")},
      {"length_negative", with("Content-Length: -1\r\n", "")},
      {"length_hexadecimal", with("Content-Length: 0x5\r\n", "hello")},
      {"length_with_junk", with("Content-Length: 5 5\r\n", "hello")},
      {"length_too_long", with("Content-Length: 18446744073709551616\r\n", "")},
      {"length_fraction", with("Content-Length: 5.0\r\n", "hello")},
      {"length_empty", with("Content-Length: \r\n", "")},
      {"length_and_chunked", with(length + chunked, end)},
      {"chunked_and_length", with(chunked + length, end)},
      {"encoding_unknown", with("Transfer-Encoding: xchunked\r\n", end)},
      {"encoding_identity", with("Transfer-Encoding: identity\r\n", "")},
      {"encoding_gzip_chunked", with("Transfer-Encoding: gzip, chunked\r\n", end)},
      {"encoding_chunked_twice", with("Transfer-Encoding: chunked, chunked\r\n", end)},
      {"encoding_chunked_not_last", with("Transfer-Encoding: chunked, identity\r\n", end)},
      {"two_encodings", with(chunked + chunked, end)},
      {"encoding_with_junk", with("Transfer-Encoding: chunked\x0b\r\n", end)},
      {"encoding_in_1_0",
       "POST /v1/chat/completions HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n" + chunked +
           "\r\n" + end},
      {"chunk_size_junk", with(chunked, "zz\r\n")},
      {"chunk_size_negative", with(chunked, "-5\r\nhello\r\n" + end)},
      {"chunk_size_too_long", with(chunked, "fffffffffffffffff\r\n")},
      {"chunk_size_over_limit", with(chunked, "fffffff\r\n")},
      {"chunk_longer_than_said", with(chunked, "5\r\nhelloXX\r\n" + end)},
      {"chunk_with_bare_lf", with(chunked, "5\nhello\n0\n\n")},
      {"chunk_size_empty", with(chunked, "\r\nhello\r\n" + end)},
  };
}

std::string name_of(const testing::TestParamInfo<Malformed>& info) {
  return info.param.name;
}
INSTANTIATE_TEST_SUITE_P(RequestLines, MalformedHttp, testing::ValuesIn(request_lines()), name_of);
INSTANTIATE_TEST_SUITE_P(HeaderLines, MalformedHttp, testing::ValuesIn(header_lines()), name_of);
INSTANTIATE_TEST_SUITE_P(Framings, MalformedHttp, testing::ValuesIn(framings()), name_of);

TEST_P(MalformedHttp, IsRefusedAndTheConnectionCloses) {
  RawClient client = server().client();
  client.send(GetParam().bytes + get("/livez"));
  client.end_sending();
  const std::string answers = client.rest();
  static const std::regex kStatusLine(R"(HTTP/1\.[01] (\d)\d\d)");
  const std::sregex_iterator first(answers.begin(), answers.end(), kStatusLine);
  EXPECT_LE(std::distance(first, std::sregex_iterator()), 1) << "one answer, then the end";
  if (first != std::sregex_iterator()) {
    EXPECT_EQ((*first)[1], "4") << answers;
  }
  if (!answers.empty()) {
    EXPECT_FALSE(code_of(answers).empty());
  }
  EXPECT_EQ(status_of(ask(get("/livez"))), 200) << "the server lives on";
}

TEST_F(ServerTest, TheSameRequestsWellFormedAreServed) {
  EXPECT_EQ(status_of(ask(get("/livez"))), 200);
  EXPECT_EQ(status_of(ask(get("/livez", "x: v\r\n"))), 200);
  EXPECT_EQ(status_of(ask("GET /livez HTTP/1.0\r\n\r\n")), 200);
  EXPECT_EQ(status_of(ask("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")),
            401);
}

// RFC 9112, 5.2: a folded line is refused or joined by a space. Beast joins.
TEST_F(ServerTest, FoldedHeaderIsOneHeader) {
  EXPECT_EQ(status_of(ask(get("/livez", "x: a\r\n b\r\n"))), 200);
  EXPECT_EQ(code_of(ask(get("/v1/models", "x: a\r\n Authorization: Bearer k\r\n"))),
            "missing_api_key");
}

TEST_F(ServerTest, RefusalsOfHttpNameTheirStatus) {
  EXPECT_EQ(code_of(ask("GET /livez HTTP/1.1\r\n\r\n")), "invalid_http");
  const std::string headers = ask(get("/livez", "x: " + std::string(20'000, 'v') + "\r\n"));
  EXPECT_EQ(status_of(headers), 431);
  EXPECT_EQ(code_of(headers), "headers_too_large");
}

TEST_F(ServerTest, BodyOverTheLimitIsRefusedAndTheClientReadsWhy) {
  const std::string big(1'000'000, 'x');
  RawClient client = server().client();
  client.send(post("/v1/chat/completions", big));
  const std::string answer = client.rest();
  EXPECT_EQ(status_of(answer), 413);
  EXPECT_EQ(code_of(answer), "request_too_large");

  RawClient chunked = server().client();
  chunked.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    chunked.send("2000\r\n" + std::string(0x2000, 'x') + "\r\n");
  }
  EXPECT_EQ(status_of(chunked.rest()), 413);
}

// What is well formed and wrong.

TEST_F(ServerTest, UnknownPathAndMethod) {
  const std::string unknown = ask(get("/nowhere"));
  EXPECT_EQ(status_of(unknown), 404);
  EXPECT_EQ(code_of(unknown), "unknown_url");
  const std::string method = ask(get("/v1/chat/completions"));
  EXPECT_EQ(status_of(method), 405);
  EXPECT_EQ(code_of(method), "method_not_allowed");
  EXPECT_NE(method.find("\r\nallow: POST\r\n"), std::string::npos) << method;
  EXPECT_EQ(status_of(ask(get("http://a/livez"))), 404) << "we are no proxy";
}

TEST_F(ServerTest, NoKeyWrongKeyWrongRole) {
  const std::string none = ask(get("/v1/models"));
  EXPECT_EQ(status_of(none), 401);
  EXPECT_EQ(code_of(none), "missing_api_key");
  EXPECT_NE(none.find("\r\nwww-authenticate: Bearer\r\n"), std::string::npos);
  EXPECT_EQ(code_of(ask(get("/v1/models", bearer("dmk_live_0")))), "invalid_api_key");
  EXPECT_EQ(code_of(ask(get("/v1/models", "Authorization: Basic YTpi\r\n"))), "missing_api_key");
  const std::string role = ask(get("/admin/v1/keys", bearer(key(identity::Role::user))));
  EXPECT_EQ(status_of(role), 403);
  EXPECT_EQ(code_of(role), "permission_denied");
}

TEST_F(ServerTest, KeyInEitherHeader) {
  const std::string& admin = key(identity::Role::admin);
  EXPECT_EQ(status_of(ask(get("/v1/models", bearer(admin)))), 200);
  EXPECT_EQ(status_of(ask(get("/v1/models", "X-API-KEY: " + admin + "\r\n"))), 200);
  EXPECT_EQ(status_of(ask(get("/v1/models", "authorization: bEaReR " + admin + "\r\n"))), 200);
}

TEST_F(ServerTest, RequestIdIsAnswered) {
  EXPECT_NE(ask(get("/livez", "x-request-id: mine-1\r\n")).find("\r\nx-request-id: mine-1\r\n"),
            std::string::npos);
  EXPECT_EQ(ask(get("/livez", "x-request-id: a b\r\n")).find("a b"), std::string::npos);
}

TEST_F(ServerTest, QueryIsNoPartOfThePath) {
  EXPECT_EQ(status_of(ask(get("/livez?probe=1"))), 200);
  EXPECT_EQ(status_of(ask(get("/%6civez"))), 200);
}

// Connections

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  RawClient client = server().client();
  std::string many;
  for (int i = 0; i < 50; ++i) {
    many += get(i % 2 == 0 ? "/livez" : "/nowhere", "x-request-id: r" + std::to_string(i) + "\r\n");
  }
  client.send(many);
  for (int i = 0; i < 50; ++i) {
    const std::string answer = client.answer();
    EXPECT_EQ(status_of(answer), i % 2 == 0 ? 200 : 404);
    EXPECT_NE(answer.find("x-request-id: r" + std::to_string(i) + "\r\n"), std::string::npos);
  }
}

TEST_F(ServerTest, CallsMayBePipelinedToo) {
  RawClient client = server().client();
  client.send(chat("one") + get("/livez") + chat("two", {{"stream", true}}) + chat("three"));
  EXPECT_NE(client.answer().find("you said one"), std::string::npos);
  EXPECT_EQ(body_of(client.answer()), R"({"status":"ok"})");
  EXPECT_NE(client.until("\r\n0\r\n\r\n").find("[DONE]"), std::string::npos);
  EXPECT_NE(client.answer().find("you said three"), std::string::npos);
}

// Sent while the first call runs, so that the server's standing read takes it.
TEST_F(ServerTest, NextRequestMayArriveWhileACallRuns) {
  RawClient client = server().client();
  client.send(chat("wait", {{"stream", true}}));
  client.until("begun");
  client.send(get("/livez"));
  server().backend().finish_waiting();
  client.until("\r\n0\r\n\r\n");
  EXPECT_EQ(status_of(client.answer()), 200);
}

TEST_F(ServerTest, AnswerToHeadHasNoBody) {
  RawClient client = server().client();
  client.send("HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n" + get("/livez"));
  EXPECT_EQ(status_of(client.until("\r\n\r\n")), 405);
  EXPECT_EQ(body_of(client.answer()), R"({"status":"ok"})");
}

TEST_F(ServerTest, ExpectationIsMetBeforeTheBody) {
  const std::string body = chat_body("hello");
  const std::string whole = post("/v1/chat/completions", body,
                                 "Expect: 100-continue\r\n" + bearer(key(identity::Role::user)));
  RawClient client = server().client();
  client.send(whole.substr(0, whole.size() - body.size()));
  EXPECT_EQ(client.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send(body);
  EXPECT_EQ(status_of(client.answer()), 200);
}

TEST_F(ServerTest, CloseIsKept) {
  RawClient client = server().client();
  client.send(get("/livez", "Connection: close\r\n"));
  const std::string answer = client.rest();
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
}

// Calls

TEST_F(ServerTest, AnswersAChat) {
  const std::string answer = ask(chat("hello"));
  EXPECT_EQ(status_of(answer), 200);
  const Json body = Json::parse(body_of(answer));
  EXPECT_EQ(body["choices"][0]["message"]["content"], "you said hello");
  EXPECT_EQ(body["usage"]["total_tokens"], 5);
  EXPECT_EQ(body["model"], "demo");
}

TEST_F(ServerTest, StreamsAChat) {
  RawClient client = server().client();
  client.send(chat("hello", {{"stream", true}, {"n", 2}}));
  const std::string stream = client.until("\r\n0\r\n\r\n");
  EXPECT_EQ(status_of(stream), 200);
  EXPECT_NE(stream.find("text/event-stream"), std::string::npos);
  EXPECT_NE(stream.find("data: [DONE]\n\n"), std::string::npos);
  client.send(get("/livez"));
  EXPECT_EQ(status_of(client.answer()), 200) << "the connection goes on";
}

// What comes first goes out first, whatever the call brings in its first piece.
TEST_F(ServerTest, StreamsInTheShapesOfOtherApisBeginAtTheirBeginning) {
  const std::string headers = "x-api-key: " + key(identity::Role::user) + "\r\n";
  RawClient client = server().client();
  client.send(
      post("/v1/messages", chat_body("hello", {{"stream", true}, {"max_tokens", 9}}), headers));
  const std::string message = client.until("0\r\n\r\n");
  EXPECT_LT(message.find("event: message_start"), message.find("event: content_block_start"));
  EXPECT_NE(message.find(R"("text":"hello")"), std::string::npos);
  EXPECT_NE(message.find("event: message_stop"), std::string::npos);
  const Json body = {{"model", "demo"}, {"input", "hello"}, {"stream", true}};
  client.send(post("/v1/responses", body.dump(), headers));
  const std::string response = client.until("0\r\n\r\n");
  const std::regex number(R"re("sequence_number":(\d+))re");
  std::size_t expected = 0;
  for (std::sregex_iterator at(response.begin(), response.end(), number), end; at != end; ++at) {
    EXPECT_EQ((*at)[1], std::to_string(expected++));
  }
  EXPECT_GT(expected, 6U);
  EXPECT_NE(response.find("event: response.completed"), std::string::npos);
}

TEST_F(ServerTest, EachApiRefusesInItsOwnShape) {
  const std::string headers = bearer(key(identity::Role::user)) + "x-request-id: mine\r\n";
  for (const char* path : {"/v1/messages", "/v1/messages/count_tokens"}) {
    const std::string answer = ask(post(path, "{}", headers));
    EXPECT_EQ(status_of(answer), 400);
    const Json body = Json::parse(body_of(answer));
    EXPECT_EQ(body["type"], "error");
    EXPECT_EQ(body["error"]["type"], "invalid_request_error");
    EXPECT_EQ(body["request_id"], "mine");
  }
  const std::string unknown = ask(post("/v1/messages", "{}"));
  EXPECT_EQ(Json::parse(body_of(unknown))["error"]["type"], "authentication_error");
  EXPECT_EQ(code_of(ask(post("/v1/responses", "{}", headers))), "missing_required_parameter");
}

TEST_F(ServerTest, LogprobsAreForThoseWhoMaySeeThem) {
  const std::string body = chat_body("hello", {{"logprobs", true}});
  const auto status = [&](identity::Role role) {
    return status_of(ask(post("/v1/chat/completions", body, bearer(key(role)))));
  };
  EXPECT_EQ(status(identity::Role::user), 403);
  EXPECT_EQ(status(identity::Role::operator_), 200);
  EXPECT_EQ(status(identity::Role::admin), 200);
}

TEST_F(ServerTest, AdapterBehindAModelsNameThatItDoesNotHaveIsUnknown) {
  const Json body = {{"model", "demo:poet"}, {"prompt", "x"}};
  const std::string answer =
      ask(post("/v1/completions", body.dump(), bearer(key(identity::Role::user))));
  EXPECT_EQ(status_of(answer), 404);
  EXPECT_EQ(Json::parse(body_of(answer))["error"]["param"], "adapter");
}

TEST_F(ServerTest, SeveralPromptsAreAnsweredTogether) {
  const auto completion = [](Json more) {
    Json body = {{"model", "demo"}, {"prompt", {"one", "two", "three"}}, {"n", 2}};
    body.update(more);
    return post("/v1/completions", body.dump(), bearer(key(identity::Role::user)));
  };
  const Json answer = Json::parse(body_of(ask(completion(Json::object()))));
  ASSERT_EQ(answer.at("choices").size(), 6U);
  for (std::size_t i = 0; i < 6; ++i) {
    const std::string wish = std::array{"one", "two", "three"}[i / 2];
    EXPECT_EQ(answer["choices"][i]["index"], i) << "index = prompt * n + choice";
    EXPECT_EQ(answer["choices"][i]["text"], "you said " + wish);
  }
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 9);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 6);

  RawClient client = server().client();
  client.send(completion({{"stream", true}}));
  const std::string stream = client.until("data: [DONE]");
  for (const char* piece : {R"("index":0)", R"("index":3)", R"("index":5)", "three"}) {
    EXPECT_NE(stream.find(piece), std::string::npos) << piece << "\n" << stream;
  }
  // One that fails fails the call.
  EXPECT_EQ(status_of(ask(completion({{"prompt", {"one", "refuse", "two"}}}))), 503);
}

TEST_F(ServerTest, PredictTakesTheFirstModel) {
  const std::string answer = ask(post("/api/predict", R"({"input":"hello"})",
                                      "X-API-KEY: " + key(identity::Role::user) + "\r\n"));
  EXPECT_EQ(Json::parse(body_of(answer))["output"], "you said hello");
}

TEST_F(ServerTest, UnknownModelIs404AndWrongBodyIs400) {
  Json body = Json::parse(chat_body("hello"));
  body["model"] = "other";
  const std::string unknown =
      ask(post("/v1/chat/completions", body.dump(), bearer(key(identity::Role::user))));
  EXPECT_EQ(status_of(unknown), 404);
  EXPECT_EQ(code_of(unknown), "model_not_found");
  EXPECT_EQ(status_of(ask(chat("hello", {{"n", 9}}))), 400);
}

TEST_F(ServerTest, RefusalOfTheBackendKeepsItsRetryAfter) {
  const std::string answer = ask(chat("refuse"));
  EXPECT_EQ(status_of(answer), 503);
  EXPECT_NE(answer.find("\r\nretry-after: 5\r\n"), std::string::npos);
  EXPECT_EQ(status_of(ask(chat("refuse", {{"stream", true}}))), 503);
}

TEST_F(ServerTest, BrokenStreamEndsWithAnErrorEventAndIsSeenToBeCut) {
  RawClient client = server().client();
  client.send(chat("break", {{"stream", true}}));
  const std::string stream = client.rest();
  EXPECT_NE(stream.find("you said "), std::string::npos);
  EXPECT_NE(stream.find("data: {\"error\":{\"message\":\"It died.\""), std::string::npos);
  EXPECT_EQ(stream.find("[DONE]"), std::string::npos);
  EXPECT_FALSE(stream.ends_with("0\r\n\r\n"));
  EXPECT_EQ(status_of(ask(chat("break"))), 500);
}

TEST_F(ServerTest, ClientThatLeavesCancelsItsCall) {
  const int before = server().backend().cancelled();
  RawClient client = server().client();
  client.send(chat("wait", {{"stream", true}}));
  client.until("begun");
  client.close();
  for (int round = 0; round < 30'000 && server().backend().cancelled() == before; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(server().backend().cancelled(), before + 1);
}

TEST_F(ServerTest, RevokedKeyIsRefusedFromThenOn) {
  const std::string revoked = make_key(server(), identity::Role::user);
  EXPECT_EQ(status_of(ask(get("/v1/usage", bearer(revoked)))), 200);
  ASSERT_TRUE(server().keys().revoke(ScratchServer::boss(), revoked, "lost"));
  EXPECT_EQ(code_of(ask(get("/v1/usage", bearer(revoked)))), "key_revoked");
}

// Nothing comes from the backend that would make the call look at its key: the revocation has to
// wake it, before the next keep-alive would.
TEST_F(ServerTest, RevocationCutsAStreamThatWaits) {
  const std::string leaky = make_key(server(), identity::Role::user);
  RawClient client = server().client();
  client.send(post("/v1/chat/completions", chat_body("wait", {{"stream", true}}), bearer(leaky)));
  client.until("begun");
  ASSERT_TRUE(server().keys().leak(ScratchServer::boss(), leaky, "in a forum"));
  const std::string rest = client.rest();
  EXPECT_NE(rest.find("key_withdrawn"), std::string::npos) << rest;
  EXPECT_EQ(rest.find("keep-alive"), std::string::npos) << rest;
  EXPECT_EQ(rest.find("[DONE]"), std::string::npos) << rest;
}

TEST_F(ServerTest, AnswerThatIsReadyWhenTheKeyEndsIsNotGiven) {
  const std::string leaky = make_key(server(), identity::Role::user);
  RawClient client = server().client();
  const int before = server().backend().cancelled();
  client.send(post("/v1/chat/completions", chat_body("wait"), bearer(leaky)));
  while (server().backend().waiting() == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(server().keys().leak(ScratchServer::boss(), leaky, "in a forum"));
  EXPECT_EQ(code_of(client.answer()), "key_withdrawn");
  EXPECT_EQ(server().backend().cancelled(), before + 1);
}

TEST_F(ServerTest, KeyOverTheAdminApi) {
  const std::string admin = bearer(key(identity::Role::admin));
  const Json made =
      Json::parse(body_of(ask(post("/admin/v1/keys", R"({"client_id":"shop"})", admin))));
  const std::string id = made.at("id");
  EXPECT_EQ(status_of(ask(get("/v1/models", bearer(made.at("key"))))), 200);
  const Json shown = Json::parse(body_of(ask(get("/admin/v1/keys/" + id, admin))));
  EXPECT_EQ(shown.at("client_id"), "shop");
  EXPECT_FALSE(shown.contains("key")) << "it is shown once";
  EXPECT_EQ(status_of(ask(post("/admin/v1/keys/" + id + "/revoke", R"({"reason":"x"})", admin))),
            200);
  EXPECT_EQ(status_of(ask(get("/admin/v1/keys/key_nobody_has_it", admin))), 404);
  EXPECT_EQ(status_of(ask(get("/admin/v1/status", admin))), 200);
}

TEST_F(ServerTest, SocketOfTheDataFolderIsItsOwnersAlone) {
  struct stat found{};
  ASSERT_EQ(::stat(server().options().local_socket.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  RawClient client = server().local_client();
  client.send(get("/admin/v1/keys"));
  EXPECT_EQ(status_of(client.answer()), 200);
}

TEST(Server, DrainClosesWhatIsIdleAndRefusesNewConnections) {
  ScratchServer scratch;
  RawClient idle = scratch.client();
  idle.send(get("/livez"));
  EXPECT_EQ(status_of(idle.answer()), 200);
  EXPECT_EQ(scratch.server().drain(30), 0U);
  EXPECT_EQ(idle.rest(), "");
  EXPECT_EQ(scratch.server().open_connections(), 0U);
}

TEST(Server, CertificateThatIsNone) {
  const ScratchServer scratch;
  EXPECT_FALSE(check_certificate("/nowhere.crt", scratch.options().private_key));
  EXPECT_FALSE(check_certificate(scratch.options().certificate, scratch.options().certificate));
  EXPECT_TRUE(check_certificate(scratch.options().certificate, scratch.options().private_key));
}

}  // namespace
}  // namespace deepmoat::gateway
