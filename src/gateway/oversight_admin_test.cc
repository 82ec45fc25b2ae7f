// What auditors set, over HTTP: who may, what a policy keeps of real calls, and that a call whose
// content cannot be kept is not answered.
#include "gateway/oversight_admin.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fmt/format.h>

#include <boost/asio/use_future.hpp>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "audit/tail.h"
#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;
using identity::Role;

constexpr const char* kPolicies = "/admin/v1/audit/content-policies";
constexpr const char* kHolds = "/admin/v1/audit/holds";
constexpr const char* kContent = "/admin/v1/audit/content/";

class OversightAdmin : public testing::Test {
 protected:
  OversightAdmin() {
    for (const char* tenant : {"acme", "globex"}) {
      EXPECT_TRUE(server_.database().ensure_tenant(
          {.name = tenant, .organisation = "", .label = "", .created_ms = 1}));
    }
  }
  std::string key(Role role, const std::string& tenant = "default", const std::string& client = "c",
                  const std::vector<std::string>& scopes = {}) {
    const auto made =
        server_.keys().create(ScratchServer::boss(), {.client_id = client,
                                                      .role = role,
                                                      .tenant = tenant,
                                                      .label = "",
                                                      .attributes = {.scopes = scopes}});
    EXPECT_TRUE(made) << made.error().message;
    return std::string(made->shown.reveal());
  }
  Answer ask(const std::string& key, const std::string& method, const std::string& path,
             const Json& body = nullptr) const {
    return answer_of(server_.client(), method, path, key, body);
  }
  static Json policy(const std::string& tenant = "", const Json& more = Json::object()) {
    Json body = {{"tenant", tenant}, {"keep_days", 30}, {"reason", "audit 2026"}};
    body.update(more);
    return body;
  }
  Json added(const std::string& auditor, const Json& body) const {
    const Answer answer = ask(auditor, "POST", kPolicies, body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.body;
  }
  Answer read(const std::string& auditor, const std::string& request_id) const {
    return ask(auditor, "POST", kContent + request_id, {{"reason", "case 12/2026"}});
  }

  static Json chat(const std::string& said, bool stream = false) {
    return {{"model", "demo"},
            {"messages", {{{"role", "user"}, {"content", said}}}},
            {"stream", stream}};
  }
  static std::string request_of(const std::string& key, const std::string& id, const Json& body) {
    const std::string text = body.dump();
    return fmt::format(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nx-request-id: {}\r\nAuthorization: "
        "Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
        id, key, text.size(), text);
  }
  // The whole answer.
  std::string call(const std::string& key, const std::string& id, const Json& body) const {
    RawClient client = server_.client();
    client.send(request_of(key, id, body));
    return body.at("stream").get<bool>() ? client.until("0\r\n\r\n") : client.answer();
  }

  std::vector<audit::Record> records_of(const std::string& action,
                                        const std::string& request_id = "") const {
    std::vector<audit::Record> found;
    audit::TailReader tail(server_.folder() / "audit");
    const auto entries = tail.read_last(1000);
    EXPECT_TRUE(entries) << entries.error().message;
    for (const audit::Entry& entry : *entries) {
      if (entry.record.action == action &&
          (request_id.empty() || entry.record.request_id == request_id)) {
        found.push_back(entry.record);
      }
    }
    return found;
  }
  audit::Record result_of(const std::string& request_id) const {
    const auto records = records_of("chat.completions", request_id);
    EXPECT_EQ(records.size(), 2U);
    return records.empty() ? audit::Record() : records.back();
  }

  // Past the program, as whoever can write the file could do it.
  void edit(const std::string& statement) const {
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open((server_.folder() / "deepmoat.db").c_str(), &raw), SQLITE_OK);
    sqlite3_busy_timeout(raw, 5000);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(raw, statement.c_str(), nullptr, nullptr, &error), SQLITE_OK)
        << (error == nullptr ? "" : error);
    sqlite3_free(error);
    sqlite3_close(raw);
  }
  // The promise is the handler's, so that it outlives the waiting.
  template <class Work>
  auto on_database_thread(Work work) const {
    return boost::asio::post(server_.services().blocking, boost::asio::use_future(std::move(work)))
        .get();
  }
  std::size_t rows() const {
    return on_database_thread([this] {
      const auto due = store::OversightTable(server_.database())
                           .list_due_contents(INT64_MAX, store::CallContentRow(), 1000);
      return due ? due->size() : 0;
    });
  }

  mutable ScratchServer server_;
};

TEST_F(OversightAdmin, EveryRouteIsTheAuditorsAlone) {
  const std::vector<std::tuple<const char*, std::string, Json, int>> routes_and_answers{
      {"GET", kPolicies, nullptr, 200},
      {"POST", kPolicies, policy("acme"), 200},
      {"POST", std::string(kPolicies) + "/pol_1/remove", Json::object(), 404},
      {"GET", kHolds, nullptr, 200},
      {"POST", kHolds, {{"tenant", "acme"}, {"reason", "case 12"}}, 200},
      {"POST", std::string(kHolds) + "/hld_1/release", Json::object(), 404},
      {"POST", std::string(kContent) + "req_1", {{"reason", "case 12"}}, 404}};
  for (const std::string tenant : {"default", "acme"}) {
    for (const Role role : identity::kRoles) {
      const std::string caller = key(role, tenant);
      for (const auto& [method, path, body, status] : routes_and_answers) {
        const Answer answer = ask(caller, method, path, body);
        EXPECT_EQ(answer.status, role == Role::auditor ? status : 403)
            << identity::role_name(role) << " of " << tenant << ": " << method << " " << path;
      }
    }
  }
  for (const auto& [method, path, body, status] : routes_and_answers) {
    EXPECT_EQ(ask("", method, path, body).status, 401) << path;
  }
  const std::string narrowed = key(Role::auditor, "default", "c", {"read_audit"});
  EXPECT_EQ(ask(narrowed, "GET", kPolicies).status, 403) << "its scopes do not have it";
}

TEST_F(OversightAdmin, AnotherTenantsAuditorSetsAndReadsNothingThere) {
  const std::string home = key(Role::auditor);
  const std::string acme = key(Role::auditor, "acme");
  const std::string globex = key(Role::auditor, "globex");
  const std::string of_globex = added(home, policy("globex")).at("id");
  const Json hold = ask(home, "POST", kHolds, {{"tenant", "globex"}, {"reason", "case 12"}}).body;
  call(key(Role::user, "globex"), "mine", chat("hello"));

  for (const std::string tenant : {"globex", ""}) {
    const Answer refused = ask(acme, "POST", kPolicies, policy(tenant));
    EXPECT_EQ(refused.status, 403);
    EXPECT_EQ(refused.body.at("error").at("param"), "tenant");
    EXPECT_EQ(
        ask(acme, "POST", kHolds, {{"tenant", tenant}, {"key_id", "key_1"}, {"reason", "case 12"}})
            .status,
        403);
  }
  const auto remove = [&](const std::string& id) {
    return ask(acme, "POST", std::string(kPolicies) + "/" + id + "/remove", Json::object());
  };
  EXPECT_EQ(remove(of_globex).status, 404);
  EXPECT_EQ(remove(of_globex).body, remove("pol_0").body);
  EXPECT_EQ(
      ask(acme, "POST", std::string(kHolds) + "/" + hold.at("id").get<std::string>() + "/release",
          Json::object())
          .status,
      404);
  EXPECT_EQ(read(acme, "mine").status, 404);
  EXPECT_EQ(read(acme, "mine").body, read(acme, "none").body);
  EXPECT_TRUE(ask(acme, "GET", kPolicies).body.at("data").empty());
  EXPECT_TRUE(ask(acme, "GET", kHolds).body.at("data").empty());
  EXPECT_EQ(read(globex, "mine").status, 200);
  EXPECT_EQ(read(home, "mine").status, 200);
}

TEST_F(OversightAdmin, WhoNamesNoTenantMeansAllThatHeReaches) {
  Json body = policy();
  body.erase("tenant");
  EXPECT_EQ(added(key(Role::auditor), body).at("tenant"), "");
  EXPECT_EQ(added(key(Role::auditor, "acme"), body).at("tenant"), "acme");
}

TEST_F(OversightAdmin, RefusalsNameTheField) {
  const std::string auditor = key(Role::auditor);
  const Json hold = {{"tenant", "acme"}, {"reason", "case 12"}};
  const auto with = [](Json body, const char* name, const Json& value) {
    body[name] = value;
    return body;
  };
  const auto without = [](Json body, const char* name) {
    body.erase(name);
    return body;
  };
  const std::vector<std::tuple<std::string, Json, const char*>> cases{
      {kPolicies, with(policy(), "keep_day", 1), "keep_day"},
      {kPolicies, without(policy(), "keep_days"), "keep_days"},
      {kPolicies, without(policy(), "reason"), "reason"},
      {kPolicies, with(policy(), "keep_days", 1.5), "keep_days"},
      {kPolicies, with(policy(), "keep_days", 18446744073709551615U), "keep_days"},
      {kPolicies, with(policy(), "keep_days", 3651), "keep_days"},
      {kPolicies, with(policy(), "sample_rate", "1"), "sample_rate"},
      {kPolicies, with(policy(), "sample_rate", 2), "sample_rate"},
      {kPolicies, with(policy(), "data_class", "secret"), "data_class"},
      {kPolicies, with(policy(), "model", 7), "model"},
      {kHolds, with(hold, "period", 1), "period"},
      {kHolds, with(hold, "since", "2026"), "since"},
      {kHolds, with(hold, "until", -1), "until"},
      {kHolds, with(hold, "tenant", ""), "tenant"},
      {kHolds, without(hold, "reason"), "reason"},
      {std::string(kContent) + "x", Json::object(), "reason"},
      {std::string(kContent) + "x", {{"reason", "why"}}, "reason"},
      {std::string(kContent) + "x", {{"reason", "case 12"}, {"all", true}}, "all"}};
  for (const auto& [path, body, field] : cases) {
    const Answer refused = ask(auditor, "POST", path, body);
    EXPECT_EQ(refused.status, 400) << path << body;
    EXPECT_EQ(refused.body.at("error").at("param"), field) << path << body;
  }
  EXPECT_TRUE(ask(auditor, "GET", kPolicies).body.at("data").empty());
}

TEST_F(OversightAdmin, WithoutAPolicyNothingIsKept) {
  call(key(Role::user), "mine", chat("hello"));
  EXPECT_EQ(result_of("mine").content, "");
  EXPECT_EQ(rows(), 0U);
  EXPECT_EQ(read(key(Role::auditor), "mine").status, 404);
}

TEST_F(OversightAdmin, WhatAPolicyKeepsIsReadWithAReasonAndLeavesATrace) {
  const std::string auditor = key(Role::auditor, "default", "eve");
  added(auditor, policy());
  const std::string user = key(Role::user, "acme", "ann");
  for (const bool stream : {false, true}) {
    const std::string id = stream ? "streamed" : "whole";
    const Json body = chat("hello", stream);
    const std::string answer = call(user, id, body);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
    const audit::Record record = result_of(id);
    EXPECT_EQ(record.outcome, audit::Outcome::success);
    EXPECT_EQ(record.content.size(), 64U);

    const Answer found = read(auditor, id);
    ASSERT_EQ(found.status, 200) << found.body;
    ASSERT_EQ(found.body.at("data").size(), 1U);
    const Json& one = found.body.at("data").at(0);
    EXPECT_EQ(one.at("request_id"), id);
    EXPECT_EQ(one.at("tenant"), "acme");
    EXPECT_EQ(one.at("operator_id"), "ann");
    EXPECT_EQ(one.at("model"), "demo");
    EXPECT_EQ(one.at("input"), body.dump()) << "as it came";
    EXPECT_EQ(one.at("output"), "you said hello");
    EXPECT_EQ(one.at("content"), record.content);
    EXPECT_EQ(one.at("kept_until").get<std::int64_t>() - one.at("kept_at").get<std::int64_t>(),
              30 * 24 * 3600);
    EXPECT_EQ(found.body.at("has_more"), false);
  }
  const auto reads = records_of("audit.content.read");
  ASSERT_EQ(reads.size(), 4U) << "an intent and a result each";
  EXPECT_EQ(reads[0].phase, audit::Phase::intent);
  EXPECT_EQ(reads[0].operator_id, "eve");
  EXPECT_EQ(reads[0].resource, "whole");
  EXPECT_EQ(reads[0].reason, "case 12/2026");
}

TEST_F(OversightAdmin, KeepsWhatThePolicyFitsAndNothingElse) {
  const std::string auditor = key(Role::auditor);
  const std::string id = added(auditor, policy("acme", {{"model", "demo"}})).at("id");
  const std::string acme = key(Role::user, "acme");
  call(acme, "fits", chat("hello"));
  call(key(Role::user, "globex"), "other-tenant", chat("hello"));
  Json other_model = chat("hello");
  other_model["model"] = "second";
  call(acme, "other-model", other_model);
  EXPECT_NE(result_of("fits").content, "");
  EXPECT_EQ(result_of("other-tenant").content, "");
  EXPECT_EQ(result_of("other-model").content, "");
  EXPECT_EQ(
      ask(auditor, "POST", std::string(kPolicies) + "/" + id + "/remove", Json::object()).status,
      200);
  call(acme, "after", chat("hello"));
  EXPECT_EQ(result_of("after").content, "");
  EXPECT_EQ(rows(), 1U);
}

TEST_F(OversightAdmin, ACutStreamKeepsWhatHadBeenSaid) {
  const std::string auditor = key(Role::auditor);
  added(auditor, policy());
  {
    RawClient client = server_.client();
    client.send(request_of(key(Role::user), "cut", chat("wait", true)));
    client.until("begun");
  }
  while (records_of("chat.completions", "cut").size() < 2) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(result_of("cut").outcome, audit::Outcome::cancelled);
  const Answer found = read(auditor, "cut");
  ASSERT_EQ(found.status, 200) << found.body;
  EXPECT_EQ(found.body.at("data").at(0).at("output"), "begun");
  EXPECT_EQ(found.body.at("data").at(0).at("content"), result_of("cut").content);
}

TEST_F(OversightAdmin, WhatCannotBeKeptIsNotAnswered) {
  added(key(Role::auditor), policy("acme"));
  const std::string acme = key(Role::user, "acme");
  edit("ALTER TABLE call_contents RENAME TO elsewhere");
  const std::string whole = call(acme, "whole", chat("hello"));
  EXPECT_TRUE(whole.starts_with("HTTP/1.1 503")) << whole;
  EXPECT_NE(whole.find("\"audit_unavailable\""), std::string::npos) << whole;
  EXPECT_EQ(whole.find("you said"), std::string::npos) << whole;
  EXPECT_EQ(whole.find("elsewhere"), std::string::npos) << "nor why";
  RawClient client = server_.client();
  client.send(request_of(acme, "streamed", chat("hello", true)));
  const std::string streamed = client.bytes(1 << 20);  // until it is closed
  EXPECT_NE(streamed.find("audit_unavailable"), std::string::npos) << streamed;
  EXPECT_EQ(streamed.find("[DONE]"), std::string::npos) << streamed;
  for (const char* id : {"whole", "streamed"}) {
    EXPECT_EQ(result_of(id).outcome, audit::Outcome::failed);
    EXPECT_EQ(result_of(id).reason, "content_unavailable");
    EXPECT_EQ(result_of(id).content, "");
  }
  EXPECT_TRUE(call(key(Role::user), "others", chat("hello")).starts_with("HTTP/1.1 200"))
      << "of which nothing is to be kept";
}

TEST_F(OversightAdmin, WhileAPolicyIsAlteredNothingRuns) {
  const std::string auditor = key(Role::auditor);
  const std::string id = added(auditor, policy("acme")).at("id");
  edit("UPDATE content_policies SET tenant = 'nobody'");
  server_.reopen_oversight();
  const std::string user = key(Role::user, "acme");
  const std::string refused = call(user, "refused", chat("hello"));
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503")) << refused;
  EXPECT_FALSE(server_.backend().last_request().has_chat()) << "the model was not asked";
  EXPECT_EQ(result_of("refused").reason, "content_unavailable");
  const Json listed = ask(auditor, "GET", kPolicies).body.at("data").at(0);
  EXPECT_EQ(listed.at("state"), "corrupt");
  EXPECT_EQ(
      ask(auditor, "POST", std::string(kPolicies) + "/" + id + "/remove", Json::object()).status,
      200);
  EXPECT_TRUE(call(user, "again", chat("hello")).starts_with("HTTP/1.1 200"));
}

TEST_F(OversightAdmin, WhatIsDueGoesAndWhatIsHeldStays) {
  const std::string auditor = key(Role::auditor);
  added(auditor, policy("", {{"keep_days", 1}}));
  call(key(Role::user, "acme"), "held", chat("hello"));
  call(key(Role::user, "globex"), "free", chat("hello"));
  const Answer hold = ask(auditor, "POST", kHolds, {{"tenant", "acme"}, {"reason", "case 12"}});
  ASSERT_EQ(hold.status, 200);
  EXPECT_EQ(hold.body.at("state"), "in_force");
  ASSERT_EQ(rows(), 2U);
  expire_contents(server_.services());
  EXPECT_EQ(rows(), 2U) << "its time is not over";
  const std::size_t expired = on_database_thread([this] {
    const UnixMillis later_ms = server_.services().clock.unix_ms() + 2 * kDayMs;
    return server_.services().oversight->contents.expire(later_ms).value_or(99);
  });
  EXPECT_EQ(expired, 1U);
  EXPECT_EQ(read(auditor, "free").status, 404);
  EXPECT_EQ(read(auditor, "held").status, 200);
  const Answer released =
      ask(auditor, "POST",
          std::string(kHolds) + "/" + hold.body.at("id").get<std::string>() + "/release",
          Json::object());
  EXPECT_EQ(released.status, 200);
  EXPECT_EQ(released.body.at("state"), "released");
  EXPECT_EQ(records_of("audit.content.expire").size(), 2U);
}

// The owner of the data folder administers; what auditors do there, they do with their own keys.
TEST_F(OversightAdmin, AtTheMachineAnAuditorsKeyIsNeeded) {
  const auto ask_locally = [&](const std::string& key, const std::string& path) {
    return answer_of(server_.local_client(), "GET", path, key, nullptr);
  };
  EXPECT_EQ(ask_locally("", kPolicies).status, 403);
  EXPECT_EQ(ask_locally("dmk_wrong", kPolicies).status, 401);
  EXPECT_EQ(ask_locally(key(Role::admin), kPolicies).status, 403);
  EXPECT_EQ(ask_locally(key(Role::auditor), kPolicies).status, 200);
  EXPECT_EQ(records_of("audit.content_policy.list").back().authentication, "api_key");
  // Elsewhere a key takes nothing from the owner, as before.
  EXPECT_EQ(ask_locally(key(Role::user), "/admin/v1/keys").status, 200);
}

TEST_F(OversightAdmin, TextThatIsNoUtf8IsStillAnswered) {
  const std::string auditor = key(Role::auditor);
  const bool kept = on_database_thread([this] {
    return server_.services()
        .oversight->contents
        .keep({.tenant = "acme",
               .request_id = "bytes",
               .key_id = "key_1",
               .operator_id = "ann",
               .model = "demo",
               .data_class = "internal",
               .input = "{}",
               .output = "half \xe4\xb8",
               .keep_days = 1})
        .has_value();
  });
  ASSERT_TRUE(kept);
  const Answer found = read(auditor, "bytes");
  ASSERT_EQ(found.status, 200);
  EXPECT_EQ(found.body.at("data").at(0).at("output"), "half \xef\xbf\xbd");
}

TEST_F(OversightAdmin, WithoutAPlaceForItItIsUnavailable) {
  server_.services().oversight = nullptr;
  EXPECT_EQ(ask(key(Role::auditor), "GET", kPolicies).status, 503);
  EXPECT_TRUE(call(key(Role::user), "mine", chat("hello")).starts_with("HTTP/1.1 200"));
}

}  // namespace
}  // namespace deepmoat::gateway
