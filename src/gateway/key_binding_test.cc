// What a key is bound to holds on every call, whatever the call says.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "audit/tail.h"
#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;

struct Answer {
  int status = 0;
  std::string head;
  std::string body;

  [[nodiscard]] Json error() const { return Json::parse(body).at("error"); }
  [[nodiscard]] bool has(const std::string& header) const {
    return head.find("\r\n" + header + "\r\n") != std::string::npos;
  }
};

class KeyBinding : public testing::Test {
 protected:
  std::string key(identity::KeyAttributes attributes, identity::Role role = identity::Role::user) {
    const auto made = server_.keys().create(
        ScratchServer::boss(),
        {.client_id = "bound", .role = role, .label = "", .attributes = std::move(attributes)});
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::string(made->shown.reveal()) : "";
  }

  Answer ask(const std::string& method, const std::string& path, const std::string& key,
             const std::string& body = "", const std::string& headers = "") {
    RawClient client = server_.client();
    client.send(
        fmt::format("{} {} HTTP/1.1\r\nHost: a\r\nx-request-id: mine\r\n"
                    "Authorization: Bearer {}\r\nContent-Length: {}\r\n{}\r\n{}",
                    method, path, key, body.size(), headers, body));
    const std::string answer = client.answer();
    const std::size_t end = answer.find("\r\n\r\n");
    return {std::stoi(answer.substr(9, 3)), answer.substr(0, end + 2), answer.substr(end + 4)};
  }

  Answer chat(const std::string& key, Json more = Json::object(), const std::string& headers = "") {
    Json body = {{"model", "demo"}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}};
    body.update(more);
    return ask("POST", "/v1/chat/completions", key, body.dump(), headers);
  }

  std::vector<std::string> listed(const std::string& key) {
    std::vector<std::string> names;
    const Json answer = Json::parse(ask("GET", "/v1/models", key).body);
    for (const Json& model : answer.at("data")) {
      names.push_back(model.at("id"));
    }
    return names;
  }

  ScratchServer server_;
};

TEST_F(KeyBinding, AModelOutsideDoesNotExist) {
  const std::string bound = key({.models = {"second"}});
  EXPECT_EQ(chat(bound, {{"model", "second"}}).status, 200);
  EXPECT_EQ(listed(bound), std::vector<std::string>{"second"});
  EXPECT_EQ(listed(key({})).size(), 2U);
  EXPECT_EQ(ask("GET", "/v1/models/second", bound).status, 200);
  const auto without_name = [](Answer answer, const std::string& name) {
    for (std::size_t at = 0; (at = answer.body.find(name)) != std::string::npos;) {
      answer.body.replace(at, name.size(), "*");
    }
    return std::pair(answer.status, answer.body);
  };
  for (const std::string suffix : {"", ":poet"}) {
    // One that is there and one that is not: nothing tells them apart.
    const Answer hidden = chat(bound, {{"model", "demo" + suffix}});
    const Answer absent = chat(bound, {{"model", "nosuch" + suffix}});
    EXPECT_EQ(hidden.status, 404);
    EXPECT_EQ(hidden.error().at("code"), "model_not_found");
    EXPECT_EQ(without_name(hidden, "demo"), without_name(absent, "nosuch"));
  }
  EXPECT_EQ(without_name(ask("GET", "/v1/models/demo", bound), "demo"),
            without_name(ask("GET", "/v1/models/nosuch", bound), "nosuch"));
}

TEST_F(KeyBinding, WithoutANameTheFirstModelOfTheKeyAnswers) {
  const std::string body = R"({"input":"hello"})";
  EXPECT_EQ(Json::parse(ask("POST", "/api/predict", key({}), body).body).at("model"), "demo");
  EXPECT_EQ(
      Json::parse(ask("POST", "/api/predict", key({.models = {"second"}}), body).body).at("model"),
      "second");
  EXPECT_EQ(ask("POST", "/api/predict", key({.models = {"gone"}}), body).status, 404);
}

TEST_F(KeyBinding, TheKeysAdapterIsThatOfACallWhichNamesNone) {
  server_.backend().set_adapters({"poet", "law"});
  const std::string bound = key({.adapter = "poet:0.5"});
  EXPECT_EQ(chat(bound).status, 200);
  EXPECT_EQ(server_.backend().last_request().adapter(), "poet");
  EXPECT_FLOAT_EQ(server_.backend().last_request().adapter_scale(), 0.5F);
  EXPECT_EQ(chat(bound, {{"adapter", "law"}}).status, 200);
  EXPECT_EQ(server_.backend().last_request().adapter(), "law");
  EXPECT_EQ(audit::TailReader(server_.folder() / "audit").read_last(1)->front().record.adapter,
            "law");
  EXPECT_FLOAT_EQ(server_.backend().last_request().adapter_scale(), 0);
  EXPECT_EQ(chat(bound, {{"model", "demo:law"}}).status, 200);
  EXPECT_EQ(server_.backend().last_request().adapter(), "law");
  EXPECT_EQ(chat(bound, {{"adapter", "poet"}, {"adapter_scale", 2}}).status, 200);
  EXPECT_FLOAT_EQ(server_.backend().last_request().adapter_scale(), 2);
  const Answer absent = chat(key({.adapter = "nosuch"}));
  EXPECT_EQ(absent.status, 404) << "an adapter that is not there is not left out in silence";
  EXPECT_EQ(absent.error().at("param"), "adapter");
  EXPECT_EQ(chat(key({})).status, 200);
  EXPECT_EQ(server_.backend().last_request().adapter(), "");
}

// The model may be loaded, or swapped, after the call was routed.
TEST_F(KeyBinding, TheResultNamesTheFilesThatAnswered) {
  server_.backend().set_adapters({"poet"});
  const std::string bound = key({.adapter = "poet"});
  const auto versions = [&](const std::string& text) {
    EXPECT_EQ(
        chat(bound, {{"messages", Json::array({{{"role", "user"}, {"content", text}}})}}).status,
        200);
    std::vector<std::string> found;
    const auto written = audit::TailReader(server_.folder() / "audit").read_last(2);
    for (const audit::Entry& entry : *written) {
      found.push_back(entry.record.model_version);
      found.push_back(entry.record.adapter_version);
    }
    return found;
  };
  EXPECT_EQ(versions("hello"), (std::vector<std::string>{"v", "p", "v", "p"}));
  EXPECT_EQ(versions("swap"), (std::vector<std::string>{"v", "p", "v2", "p2"}));
}

TEST_F(KeyBinding, AdapterOnlyMeansNoOtherInAnyWayToNameOne) {
  server_.backend().set_adapters({"poet", "law"});
  const std::string bound = key({.adapter = "poet:0.5", .adapter_only = true});
  for (const Json& more : {Json::object(), Json{{"adapter", "poet"}}, Json{{"model", "demo:poet"}},
                           Json{{"adapter_scale", 0.5}}, Json{{"adapter", ""}}}) {
    EXPECT_EQ(chat(bound, more).status, 200) << more;
    EXPECT_EQ(server_.backend().last_request().adapter(), "poet") << more;
    EXPECT_FLOAT_EQ(server_.backend().last_request().adapter_scale(), 0.5F) << more;
  }
  for (const auto& [more, param] :
       {std::pair(Json{{"adapter", "law"}}, "adapter"),
        std::pair(Json{{"model", "demo:law"}}, "adapter"),
        std::pair(Json{{"adapter", "nosuch"}}, "adapter"),
        std::pair(Json{{"adapter", "Poet"}}, "adapter"),
        std::pair(Json{{"adapter_scale", 0.001}}, "adapter_scale"),
        std::pair(Json{{"adapter", "poet"}, {"adapter_scale", 1}}, "adapter_scale")}) {
    const Answer refused = chat(bound, more);
    EXPECT_EQ(refused.status, 403) << more;
    EXPECT_EQ(refused.error().at("code"), "permission_denied");
    EXPECT_EQ(refused.error().at("param"), param) << more;
  }
}

TEST_F(KeyBinding, FromElsewhereAKeyLooksLikeNone) {
  const std::string here = key({.ip_ranges = {"10.0.0.0/8", "127.0.0.0/8"}});
  const std::string elsewhere = key({.ip_ranges = {"10.0.0.0/8", "::1"}});
  std::string unknown = elsewhere;
  unknown = identity::KeyAuthority({.signing = Secret(std::string(32, 'x')),
                                    .pepper = Secret(std::string(32, 'y')),
                                    .audit_fingerprint = Secret(std::string(32, 'z')),
                                    .id = ""})
                .make_key(identity::KeyKind::live, "bound", 1'795'000'000'000)
                ->reveal();
  EXPECT_EQ(chat(here).status, 200);
  for (const char* path : {"/v1/models", "/v1/usage", "/admin/v1/keys"}) {
    const Answer refused = ask("GET", path, elsewhere);
    EXPECT_EQ(refused.status, 401);
    EXPECT_EQ(refused.error().at("code"), "invalid_api_key");
    const Answer stranger = ask("GET", path, unknown);
    const std::regex record("x-audit-record: [0-9]+");  // each refusal has one of its own
    EXPECT_EQ(std::regex_replace(refused.head, record, ""),
              std::regex_replace(stranger.head, record, ""));
    EXPECT_EQ(refused.body, stranger.body);
  }
}

TEST_F(KeyBinding, TheHighestDataClassCounts) {
  const std::string bound = key({.data_class = "sensitive"});
  EXPECT_EQ(chat(bound).status, 200);
  EXPECT_EQ(chat(bound, Json::object(), "x-deepmoat-data-class: public\r\n").status, 200);
  EXPECT_EQ(chat(bound, Json::object(), "x-deepmoat-data-class: nonsense\r\n").status, 400);
  // What was classified is in the audit log; tests/e2e reads it there.
}

TEST_F(KeyBinding, ScopesNarrowTheRole) {
  const std::string calls_only = key({.scopes = {"call_models"}}, identity::Role::admin);
  EXPECT_EQ(chat(calls_only).status, 200);
  for (const char* path : {"/v1/models", "/v1/usage", "/admin/v1/keys", "/admin/v1/status"}) {
    const Answer refused = ask("GET", path, calls_only);
    EXPECT_EQ(refused.status, 403) << path;
    EXPECT_NE(refused.error().at("message").get<std::string>().find("scopes"), std::string::npos);
  }
  const Answer logprobs = chat(calls_only, {{"logprobs", true}});
  EXPECT_EQ(logprobs.status, 403);
  EXPECT_EQ(logprobs.error().at("param"), "logprobs");
  const std::string list_only = key({.scopes = {"see_models"}});
  EXPECT_EQ(chat(list_only).status, 403);
  EXPECT_EQ(listed(list_only).size(), 2U);
}

TEST_F(KeyBinding, AnAdministratorWithScopesCannotGetRidOfThem) {
  const std::string narrow = key({.scopes = {"manage_keys"}}, identity::Role::admin);
  const auto create = [&](Json body) {
    body["client_id"] = "made";
    return ask("POST", "/admin/v1/keys", narrow, body.dump());
  };
  EXPECT_EQ(create({{"role", "user"}}).status, 200);
  const Answer refused = create({{"role", "admin"}});
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.error().at("param"), "scopes");
  EXPECT_EQ(create({{"role", "admin"}, {"scopes", {"manage_keys"}}}).status, 200);
  const auto own = server_.keys().show(ScratchServer::boss(), narrow);
  ASSERT_TRUE(own);
  EXPECT_EQ(
      ask("PATCH", "/admin/v1/keys/" + own->key_id.value(), narrow, R"({"scopes":[]})").status,
      403);
}

TEST_F(KeyBinding, LimitsOfTheKeyHoldWithoutAnyOfTheServer) {
  const std::string two = key({.limits = {.requests_per_minute = 2}});
  EXPECT_EQ(chat(two).status, 200);
  const Answer last = chat(two);
  EXPECT_EQ(last.status, 200);
  EXPECT_TRUE(last.has("x-ratelimit-limit-requests: 2")) << last.head;
  EXPECT_TRUE(last.has("x-ratelimit-remaining-requests: 0")) << last.head;
  const Answer refused = chat(two);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.error().at("code"), "rate_limit_exceeded");
  EXPECT_NE(refused.head.find("\r\nretry-after: "), std::string::npos);

  // The scripted answer takes five tokens.
  const std::string tokens = key({.limits = {.tokens_per_minute = 6}});
  EXPECT_EQ(chat(tokens).status, 200);
  const Answer second = chat(tokens);
  EXPECT_EQ(second.status, 200) << "one token is left";
  EXPECT_TRUE(second.has("x-ratelimit-limit-tokens: 6")) << second.head;
  EXPECT_TRUE(second.has("x-ratelimit-remaining-tokens: 1")) << second.head;
  const Answer over = chat(tokens);
  EXPECT_EQ(over.status, 429);
  EXPECT_EQ(over.error().at("message"), "This key may use 6 tokens a minute.");

  const std::string one = key({.limits = {.concurrent_calls = 1}});
  RawClient running = server_.client();
  const std::string body =
      R"({"model":"demo","stream":true,"messages":[{"role":"user","content":"wait"}]})";
  running.send(
      fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "
                  "{}\r\nContent-Length: {}\r\n\r\n{}",
                  one, body.size(), body));
  running.until("begun");
  const Answer busy = chat(one);
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.error().at("code"), "concurrency_limit_exceeded");
  server_.backend().finish_waiting();
}

TEST_F(KeyBinding, AChangeHoldsFromTheNextCallOn) {
  const std::string admin = key({}, identity::Role::admin);
  const std::string user = key({});
  const std::string id = server_.keys().show(ScratchServer::boss(), user)->key_id.value();
  const auto patch = [&](const std::string& body) {
    return ask("PATCH", "/admin/v1/keys/" + id, admin, body);
  };
  EXPECT_EQ(chat(user).status, 200);
  const Answer changed = patch(R"({"models":["second"],"labels":{"team":"x"},"label":"note"})");
  ASSERT_EQ(changed.status, 200) << changed.body;
  const Json shown = Json::parse(changed.body);
  EXPECT_EQ(shown.at("models"), Json({"second"}));
  EXPECT_EQ(shown.at("labels"), Json({{"team", "x"}}));
  EXPECT_EQ(shown.at("label"), "note");
  EXPECT_EQ(shown, Json::parse(ask("GET", "/admin/v1/keys/" + id, admin).body));
  EXPECT_EQ(chat(user).status, 404);
  EXPECT_EQ(patch(R"({"ip_ranges":["10.0.0.0/8"]})").status, 200);
  EXPECT_EQ(chat(user, {{"model", "second"}}).status, 401);
  EXPECT_EQ(patch(R"({"ip_ranges":[],"models":[]})").status, 200);
  EXPECT_EQ(chat(user).status, 200);
  const Answer refused = patch(R"({"ip_ranges":["10.1.2.3/8"]})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.error().at("param"), "ip_ranges");
  EXPECT_EQ(patch(R"({"role":"admin"})").error().at("code"), "unsupported_parameter");
  EXPECT_EQ(chat(user).status, 200) << "a refused change changes nothing";
}

TEST_F(KeyBinding, TenantsOverTheAdminApi) {
  const std::string admin = key({}, identity::Role::admin);
  const Answer made = ask("POST", "/admin/v1/tenants", admin,
                          R"({"name":"law","organisation":"Acme","label":"3rd floor"})");
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(Json::parse(made.body).at("organisation"), "Acme");
  EXPECT_EQ(ask("POST", "/admin/v1/tenants", admin, R"({"name":"law"})").status, 409);
  const Answer changed =
      ask("PATCH", "/admin/v1/tenants/law", admin, R"({"organisation":"Globex"})");
  EXPECT_EQ(Json::parse(changed.body).at("organisation"), "Globex");
  EXPECT_EQ(Json::parse(changed.body).at("label"), "3rd floor");
  EXPECT_EQ(Json::parse(ask("GET", "/admin/v1/tenants/law", admin).body),
            Json::parse(changed.body));
  EXPECT_EQ(ask("GET", "/admin/v1/tenants/sales", admin).status, 404);
  EXPECT_EQ(ask("PATCH", "/admin/v1/tenants/law", admin, R"({"weight":1})").error().at("param"),
            "weight");
}

}  // namespace
}  // namespace deepmoat::gateway
