// Two persons over HTTP: what needs two waits, and the second one's yes is what does it.
#include "gateway/approval_admin.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "audit/tail.h"
#include "catalog/catalog.h"
#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

using Json = nlohmann::json;
using identity::Role;

class ApprovalAdmin : public testing::Test {
 protected:
  ApprovalAdmin() : catalog_(server_.database(), server_.folder() / "models") {
    server_.services().catalog = &catalog_;
    add_version("qwen", 1);
    want_two_persons(true);
  }

  void want_two_persons(bool wanted) {
    Config config = *server_.config().get();
    config.approval.two_persons = wanted;
    server_.config().replace(config);
  }

  void add_version(const std::string& name, int number) {
    store::ModelRow row;
    row.name = name;
    row.number = number;
    row.kind = "model";
    row.sha256 = std::string(64, static_cast<char>('a' + number));
    row.file = fmt::format("{}/{}.gguf", name, number);
    row.task = "generate";
    row.measurements = "{}";
    std::filesystem::create_directories(server_.folder() / "models" / name);
    std::ofstream(server_.folder() / "models" / row.file) << "GGUF";
    const auto inserted = server_.database().insert_model(row);
    EXPECT_TRUE(inserted) << inserted.error().message;
  }
  [[nodiscard]] bool version_is_there(const std::string& name, int number) const {
    return std::filesystem::exists(server_.folder() / "models" / name /
                                   fmt::format("{}.gguf", number));
  }

  // Past the gateway, as the first administrators are made.
  std::string key(const std::string& client_id, Role role = Role::admin,
                  const std::string& tenant = "default") {
    const auto made = server_.keys().create(
        ScratchServer::boss(),
        {.client_id = client_id, .role = role, .tenant = tenant, .label = ""});
    EXPECT_TRUE(made) << made.error().message;
    key_ids_[client_id] = made->info.key_id.value();
    return std::string(made->shown.reveal());
  }

  Answer ask(const std::string& key, const std::string& method, const std::string& path,
             const Json& body = nullptr) const {
    return answer_of(server_.client(), method, path, key, body);
  }
  Answer ask_locally(const std::string& method, const std::string& path,
                     const Json& body = nullptr) const {
    return answer_of(server_.local_client(), method, path, "", body);
  }
  Answer remove(const std::string& key, const std::string& version = "1") const {
    return ask(key, "POST", "/admin/v1/catalog/qwen/remove", {{"version", version}});
  }
  std::string held(const Answer& answer) const {
    EXPECT_EQ(answer.status, 202) << answer.body;
    EXPECT_EQ(answer.body.value("state", ""), "waiting_for_approval");
    return answer.status == 202 ? answer.body.at("approval").at("id").get<std::string>() : "";
  }
  Answer approve(const std::string& key, const std::string& id) const {
    return ask(key, "POST", "/admin/v1/approvals/" + id + "/approve");
  }
  std::vector<audit::Record> records_of(const std::string& action) const {
    std::vector<audit::Record> found;
    audit::TailReader tail(server_.folder() / "audit");
    const auto entries = tail.read_last(1000);
    EXPECT_TRUE(entries) << entries.error().message;
    for (const audit::Entry& entry : *entries) {
      if (entry.record.action == action) {
        found.push_back(entry.record);
      }
    }
    return found;
  }

  mutable ScratchServer server_;
  catalog::Catalog catalog_;
  std::map<std::string, std::string> key_ids_;
};

TEST_F(ApprovalAdmin, SwitchedOffOnePersonIsEnough) {
  want_two_persons(false);
  const Answer removed = remove(key("boss"));
  EXPECT_EQ(removed.status, 200) << removed.body;
  EXPECT_FALSE(version_is_there("qwen", 1));
  const Answer list = ask(key("boss"), "GET", "/admin/v1/approvals");
  EXPECT_EQ(list.status, 200);
  EXPECT_TRUE(list.body.at("data").empty());
}

TEST_F(ApprovalAdmin, ASecondPersonsYesDoesIt) {
  const std::string boss = key("boss");
  const std::string second = key("second");
  const Answer waiting = remove(boss);
  const std::string id = held(waiting);
  EXPECT_TRUE(version_is_there("qwen", 1));
  const Json& shown = waiting.body.at("approval");
  EXPECT_EQ(shown.at("action"), "model.remove");
  EXPECT_EQ(shown.at("resource"), "qwen 1");
  EXPECT_EQ(shown.at("requested_by"), "default/boss");
  EXPECT_EQ(shown.at("request"), (Json{{"version", "1"}}));
  EXPECT_EQ(shown.at("expires_at").get<int>() - shown.at("requested_at").get<int>(), 24 * 3600);
  EXPECT_NE(waiting.body.at("message").get<std::string>().find(id), std::string::npos);

  EXPECT_EQ(approve(boss, id).code(), "second_person_required");
  EXPECT_EQ(approve(key("boss"), id).code(), "second_person_required") << "another key of his";
  EXPECT_TRUE(version_is_there("qwen", 1));

  const Answer done = approve(second, id);
  EXPECT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(done.body.at("name"), "qwen") << "the answer is the action's own";
  EXPECT_FALSE(version_is_there("qwen", 1));
  EXPECT_EQ(approve(second, id).code(), "approval_decided");
  EXPECT_EQ(approve(second, id).status, 409);
  const Json listed = ask(boss, "GET", "/admin/v1/approvals").body.at("data").at(0);
  EXPECT_EQ(listed.at("state"), "done");
  EXPECT_EQ(listed.at("decided_by"), "default/second");
  EXPECT_EQ(listed.at("status"), 200);

  const auto records = records_of("model.remove");
  ASSERT_EQ(records.size(), 2U);
  for (const audit::Record& record : records) {
    EXPECT_EQ(record.operator_id, "boss");
    EXPECT_EQ(record.reason, "approved by default/second (" + id + ")");
  }
  EXPECT_EQ(records.at(1).outcome, audit::Outcome::success);
  const auto decisions = records_of("approval.approve");
  const auto approval =
      std::ranges::find(decisions, audit::Outcome::success, &audit::Record::outcome);
  ASSERT_NE(approval, decisions.end());
  EXPECT_EQ(approval->operator_id, "second");
  EXPECT_EQ(approval->reason, "model.remove qwen 1 requested by default/boss");
  EXPECT_EQ(records.at(0).request_id, approval->request_id);
}

TEST_F(ApprovalAdmin, NobodyDecidesWithoutTheRoutesOwnPermission) {
  const std::string boss = key("boss");
  const Answer waiting =
      ask(boss, "POST", "/admin/v1/second-factors/remove", {{"client_id", "victim"}});
  const std::string id = held(waiting);
  const std::string operator_key = key("op", Role::operator_);
  EXPECT_EQ(ask(operator_key, "GET", "/admin/v1/approvals").status, 200);
  const Answer denied = approve(operator_key, id);
  EXPECT_EQ(denied.status, 403);
  EXPECT_EQ(denied.code(), "permission_denied");
  EXPECT_EQ(
      ask(operator_key, "POST", "/admin/v1/approvals/" + id + "/refuse", {{"reason", "x"}}).code(),
      "permission_denied");
  for (const Role role : {Role::user, Role::auditor}) {
    EXPECT_EQ(approve(key("nobody", role), id).code(), "permission_denied");
  }
  // An operator may remove a version, so he may be the second person of that.
  EXPECT_EQ(approve(operator_key, held(remove(boss))).status, 200);
  EXPECT_FALSE(version_is_there("qwen", 1));
}

TEST_F(ApprovalAdmin, AnotherTenantsDoesNotExist) {
  const std::string id =
      held(ask(key("boss"), "POST", "/admin/v1/second-factors/remove", {{"client_id", "victim"}}));
  const std::string acme = key("boss-of-acme", Role::admin, "acme");
  const Answer others = approve(acme, id);
  const Answer none = approve(acme, "apr_000000000000000000000000");
  EXPECT_EQ(others.status, 404);
  EXPECT_EQ(others.body, none.body);
  EXPECT_TRUE(ask(acme, "GET", "/admin/v1/approvals").body.at("data").empty());
}

TEST_F(ApprovalAdmin, AFactorIsNotTakenFromItsOwnerByOne) {
  const identity::FactorOwner victim{.client_id = "victim"};
  ASSERT_TRUE(server_.services().second_factors->enrol(ScratchServer::boss(), victim,
                                                       crypto::OtpAlgorithm::totp_sha1));
  const auto is_there = [&] {
    return server_.services().second_factors->status(ScratchServer::boss(), victim).has_value();
  };
  // What strays into the body is not kept.
  const Answer waiting = ask(key("boss"), "POST", "/admin/v1/second-factors/remove",
                             {{"client_id", "victim"}, {"one_time_password", "123456"}});
  const std::string id = held(waiting);
  EXPECT_EQ(waiting.body.at("approval").at("request"),
            (Json{{"client_id", "victim"}, {"tenant", "default"}}));
  EXPECT_TRUE(is_there());
  EXPECT_EQ(approve(key("second"), id).status, 200);
  EXPECT_FALSE(is_there());
  EXPECT_EQ(records_of("second_factor.remove").back().reason,
            "approved by default/second (" + id + ")");
}

// Who could make a second person alone would be one.
TEST_F(ApprovalAdmin, AKeyOfWhoMayApproveNeedsTwoAndAUsersDoesNot) {
  const std::string boss = key("boss");
  const auto make = [&](const std::string& role, const Json& more = Json::object()) {
    Json body = {{"client_id", "puppet"}, {"role", role}};
    body.update(more);
    return ask(boss, "POST", "/admin/v1/keys", body);
  };
  EXPECT_EQ(make("user").status, 200);
  held(make("auditor"));
  held(make("operator"));
  held(make("admin", {{"scopes", {"see_status"}}}));
  EXPECT_EQ(make("admin", {{"label", 7}}).status, 400) << "it could not be made anyway";
  const std::string id = held(make("admin"));
  const Answer made = approve(key("second"), id);
  EXPECT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(made.body.at("client_id"), "puppet");
  EXPECT_EQ(ask(made.body.at("key"), "GET", "/admin/v1/approvals").status, 200);
  const Json list = ask(boss, "GET", "/admin/v1/approvals").body;
  EXPECT_EQ(list.dump().find("dmk_"), std::string::npos) << "no key is kept";
}

// Nor does one become the second person by signing in as him.
TEST_F(ApprovalAdmin, APersonWhoMayApproveIsMadeByTwo) {
  const std::string boss = key("boss");
  const std::string second = key("second");
  const auto make = [&](const std::string& name, const std::string& role) {
    return ask(boss, "POST", "/admin/v1/people", {{"name", name}, {"role", role}});
  };
  EXPECT_EQ(make("ann", "user").status, 200);
  const std::string made = held(make("bea", "admin"));
  EXPECT_EQ(ask(boss, "GET", "/admin/v1/people/bea").status, 404);
  const Answer bea = approve(second, made);
  EXPECT_EQ(bea.status, 200) << bea.body;
  EXPECT_FALSE(bea.body.at("password").get<std::string>().empty());
  EXPECT_EQ(records_of("person.create").back().reason,
            "role=admin; approved by default/second (" + made + ")");

  const auto change = [&](const Json& body) {
    return ask(boss, "PATCH", "/admin/v1/people/ann", body);
  };
  EXPECT_EQ(change({{"label", "till 3"}}).status, 200);
  EXPECT_EQ(approve(second, held(change({{"role", "auditor"}}))).status, 200);
  const std::string raised = held(change({{"role", "operator"}}));
  EXPECT_EQ(ask(boss, "GET", "/admin/v1/people/ann").body.at("role"), "auditor");
  EXPECT_EQ(approve(second, raised).body.at("role"), "operator");
  EXPECT_EQ(change({{"role", "admin"}, {"password", "x"}}).status, 400) << "nothing is kept";

  const std::string reset = held(ask(boss, "POST", "/admin/v1/people/bea/reset-password"));
  EXPECT_TRUE(approve(second, reset).body.contains("password"));
  EXPECT_EQ(ask(boss, "PATCH", "/admin/v1/people/bea", {{"disabled", true}}).status, 200);
  EXPECT_EQ(ask(boss, "POST", "/admin/v1/people/bea/remove").status, 200);
}

TEST_F(ApprovalAdmin, WhatTakesRightsAwayNeverWaits) {
  const std::string boss = key("boss");
  for (const auto& [verb, body] :
       {std::pair("revoke", Json{{"reason", "over"}}), {"expire", Json{{"expires_at", 1}}}}) {
    key("gone");
    EXPECT_EQ(ask(boss, "POST", "/admin/v1/keys/" + key_ids_["gone"] + "/" + verb, body).status,
              200)
        << verb;
  }
  for (const Route& route : routes()) {
    if (route.handler == Handler::revoke_key || route.handler == Handler::expire_key ||
        route.handler == Handler::leak_key || route.handler == Handler::revoke_certificate ||
        route.handler == Handler::sign_person_out || route.handler == Handler::remove_person ||
        is_approval(route.handler)) {
      EXPECT_EQ(route.two_persons, TwoPersons::never) << route.pattern;
    }
  }
}

TEST_F(ApprovalAdmin, TheMachineIsAPersonToo) {
  const Answer waiting = ask_locally("POST", "/admin/v1/catalog/qwen/remove", {{"version", "1"}});
  const std::string id = held(waiting);
  EXPECT_EQ(ask_locally("POST", "/admin/v1/approvals/" + id + "/approve").code(),
            "second_person_required");
  EXPECT_EQ(approve(key("boss"), id).status, 200);
  add_version("qwen", 2);
  EXPECT_EQ(
      ask_locally("POST", "/admin/v1/approvals/" + held(remove(key("boss"), "2")) + "/approve")
          .status,
      200);
  EXPECT_FALSE(version_is_there("qwen", 2));
}

TEST_F(ApprovalAdmin, RefusedAndWithdrawnDoNothing) {
  const std::string boss = key("boss");
  const std::string second = key("second");
  const auto refuse = [&](const std::string& key, const std::string& id, const Json& body) {
    return ask(key, "POST", "/admin/v1/approvals/" + id + "/refuse", body);
  };
  const std::string id = held(remove(boss));
  EXPECT_EQ(refuse(second, id, Json::object()).status, 400);
  const Answer refused = refuse(second, id, {{"reason", "we need it"}});
  EXPECT_EQ(refused.body.at("state"), "refused");
  EXPECT_EQ(refused.body.at("reason"), "we need it");
  const std::string own = held(remove(boss));
  EXPECT_EQ(refuse(boss, own, {{"reason", "a mistake"}}).body.at("state"), "withdrawn");
  for (const std::string& ended : {id, own}) {
    EXPECT_EQ(approve(second, ended).code(), "approval_decided");
    EXPECT_EQ(refuse(second, ended, {{"reason", "x"}}).code(), "approval_decided");
  }
  EXPECT_TRUE(version_is_there("qwen", 1));
}

TEST_F(ApprovalAdmin, AnAdministratorIsEnabledAgainByTwo) {
  const std::string boss = key("boss");
  ASSERT_TRUE(server_.people().create(ScratchServer::boss(),
                                      {.who = {.name = "ann"}, .role = Role::admin, .label = ""}));
  EXPECT_EQ(ask(boss, "PATCH", "/admin/v1/people/ann", {{"disabled", true}}).status, 200)
      << "what takes rights away does not wait";
  const std::string id = held(ask(boss, "PATCH", "/admin/v1/people/ann", {{"disabled", false}}));
  EXPECT_EQ(ask(boss, "GET", "/admin/v1/people/ann").body.at("state"), "disabled");
  EXPECT_EQ(approve(key("second"), id).status, 200);
  EXPECT_EQ(ask(boss, "GET", "/admin/v1/people/ann").body.at("state"), "active");
}

// Or a second person would have said yes to what cannot be done.
TEST_F(ApprovalAdmin, WhatItsRouteRefusesDoesNotWait) {
  const std::string boss = key("boss");
  const Json wrong{{"name", "x"}, {"role", "admin"}, {"disabled", true}};
  const Answer refused = ask(boss, "POST", "/admin/v1/people", wrong);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.code(), "unsupported_parameter");
  EXPECT_EQ(refused.body.at("error").at("param"), "disabled");
  EXPECT_EQ(ask(boss, "POST", "/admin/v1/people", {{"role", "admin"}}).code(),
            "missing_required_parameter");
  EXPECT_EQ(ask(boss, "GET", "/admin/v1/approvals").body.at("data").size(), 0U);
}

TEST_F(ApprovalAdmin, ARequestOfAKeyThatWasRevokedIsDead) {
  const std::string id = held(remove(key("boss")));
  ASSERT_TRUE(server_.keys().revoke(ScratchServer::boss(), key_ids_["boss"], "stolen"));
  EXPECT_EQ(approve(key("second"), id).code(), "requester_not_in_force");
  EXPECT_TRUE(version_is_there("qwen", 1));
}

TEST_F(ApprovalAdmin, ASecondPersonIsToldExactlyWhatItIs) {
  const std::string boss = key("boss");
  for (const Json& body : {Json(nullptr), Json::object(), Json{{"version", ""}},
                           Json{{"version", 1}}, Json{{"version", "1\n2"}}}) {
    const Answer refused = ask(boss, "POST", "/admin/v1/catalog/qwen/remove", body);
    EXPECT_EQ(refused.status, 400) << body;
    EXPECT_EQ(refused.body.at("error").at("param"), "version") << body;
  }
  EXPECT_EQ(records_of("model.remove").back().outcome, audit::Outcome::refused);
  EXPECT_TRUE(ask(boss, "GET", "/admin/v1/approvals").body.at("data").empty());
  // What is not there is found out when it is carried out, and is an answer like any.
  const std::string second = key("second");
  const std::string id = held(remove(boss, "7"));
  EXPECT_EQ(approve(second, id).status, 404);
  EXPECT_EQ(ask(boss, "GET", "/admin/v1/approvals").body.at("data").at(0).at("state"), "failed");
}

TEST_F(ApprovalAdmin, SwitchedOffAgainWhatWaitsCanStillBeDecided) {
  const std::string id = held(remove(key("boss")));
  want_two_persons(false);
  EXPECT_EQ(approve(key("second"), id).status, 200);
  EXPECT_FALSE(version_is_there("qwen", 1));
}

TEST_F(ApprovalAdmin, WithoutAPlaceForItNothingIsDone) {
  server_.services().approvals = nullptr;
  const std::string boss = key("boss");
  EXPECT_EQ(remove(boss).status, 503);
  EXPECT_EQ(ask(boss, "GET", "/admin/v1/approvals").status, 503);
  EXPECT_TRUE(version_is_there("qwen", 1));
}

// Every role that has the permission of a route for two has that of the routes that decide.
TEST(ApprovalRoutes, WhoMayBeTheSecondPersonReachesTheRoutes) {
  std::size_t for_two = 0;
  for (const Route& route : routes()) {
    if (route.two_persons == TwoPersons::never) {
      continue;
    }
    ++for_two;
    ASSERT_TRUE(route.permission);
    EXPECT_FALSE(is_approval(route.handler) || runs_inference(route.handler));
    for (const Role role : identity::kRoles) {
      if (identity::allowed(role, *route.permission)) {
        EXPECT_TRUE(identity::allowed(role, identity::Permission::see_status));
        EXPECT_TRUE(may_approve(role));
      }
    }
  }
  EXPECT_EQ(for_two, 7U);
  EXPECT_FALSE(may_approve(Role::user));
  EXPECT_FALSE(may_approve(Role::auditor));
}

}  // namespace
}  // namespace deepmoat::gateway
