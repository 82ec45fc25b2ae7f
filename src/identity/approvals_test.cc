// Two persons: the second is another one, says yes once and in time, and to what was asked alone.
#include "identity/approvals.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>

#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

using audit::Outcome;
using audit::Phase;

constexpr std::int64_t kHours = 24;
constexpr std::int64_t kHourMs = 60LL * 60 * 1000;

Result<> permit(const Approval&) {
  return {};
}

class ApprovalsTest : public testing::Test {
 protected:
  ApprovalsTest() {
    open();
    for (const char* name : {"boss", "second", "third"}) {
      person(name);
    }
    keys_.records_.clear();
  }
  void restart() {
    approvals_.reset();
    keys_.restart();
    open();
  }
  void open() {
    approvals_ = std::make_unique<Approvals>(
        *keys_.database_, [this](audit::Record record) { return keys_.append(std::move(record)); },
        keys_.authenticator_, keys_.secrets_, keys_.clock_);
  }

  // Somebody with a key, the same each time; "local:..." is the machine.
  Actor person(const std::string& client_id, const std::string& tenant = "default") {
    std::string& key_id = key_ids_[tenant + "/" + client_id];
    const bool local = client_id.starts_with("local:");
    if (key_id.empty() && !local) {
      key_id = keys_.make(client_id, Role::admin, tenant).info.key_id.value();
    }
    return {.operator_id = client_id,
            .key_id = key_id,
            .role = "admin",
            .tenant = TenantId(tenant),
            .authentication = local ? "local_socket" : "api_key",
            .ip_address = "192.0.2.1",
            .request_id = "req_of_" + client_id};
  }
  static HeldCall removal(const std::string& version = "1") {
    return {.route = "POST /admin/v1/catalog/{}/remove",
            .argument = "qwen",
            .body = R"({"version":")" + version + R"("})",
            .action = "model.remove",
            .resource = "qwen " + version};
  }
  std::string asked(const Actor& actor, const HeldCall& call = removal()) {
    const auto approval = approvals_->request(actor, call, kHours);
    EXPECT_TRUE(approval) << approval.error().message;
    return approval ? approval->row.approval_id : "";
  }
  // "ok", or the name of the error's code.
  std::string approved(const Actor& actor, const std::string& id, int status = 200) {
    const auto done =
        approvals_->approve(actor, id, permit, [&](const Actor& as, const HeldCall& call) {
          ++carried_out_;
          carried_out_as_ = as;
          call_ = call;
          return status;
        });
    return done ? "ok" : std::string(code_name(done.error().code));
  }
  std::string refused(const Actor& actor, const std::string& id,
                      const std::string& reason = "no need") {
    const auto done = approvals_->refuse(actor, id, permit, reason);
    return done ? std::string(state_name(done->state)) : std::string(code_name(done.error().code));
  }
  std::string state(const std::string& id) {
    const auto found = approvals_->find(person("boss"), id);
    return found ? std::string(state_name(found->state)) : "none";
  }

  ScratchKeys keys_;
  std::map<std::string, std::string> key_ids_;
  std::unique_ptr<Approvals> approvals_;
  int carried_out_ = 0;
  Actor carried_out_as_;
  HeldCall call_;
};

TEST_F(ApprovalsTest, ASecondPersonCarriesItOutOnceAsTheFirst) {
  const std::string id = asked(person("boss"));
  EXPECT_EQ(state(id), "waiting");
  EXPECT_EQ(carried_out_, 0);
  restart();  // it waits in the database
  EXPECT_EQ(approved(person("second"), id), "ok");
  EXPECT_EQ(carried_out_, 1);
  EXPECT_EQ(carried_out_as_.operator_id, "boss");
  EXPECT_EQ(carried_out_as_.request_id, "req_of_second");
  EXPECT_EQ(carried_out_as_.approved_by, "default/second (" + id + ")");
  EXPECT_EQ(call_.body, removal().body);
  EXPECT_EQ(call_.argument, "qwen");
  EXPECT_EQ(state(id), "done");
  EXPECT_EQ(approved(person("second"), id), "already_exists");
  EXPECT_EQ(approved(person("third"), id), "already_exists");
  EXPECT_EQ(refused(person("third"), id), "already_exists");
  EXPECT_EQ(carried_out_, 1);
}

TEST_F(ApprovalsTest, APersonIsAClientOfATenantWhateverHisKey) {
  Actor boss = person("boss");
  boss.key_id = keys_.make("boss", Role::admin).info.key_id.value();
  const std::string id = asked(boss);
  Actor other_key = person("boss");
  other_key.key_id = keys_.make("boss", Role::admin).info.key_id.value();
  EXPECT_EQ(approved(boss, id), "permission_denied");
  EXPECT_EQ(approved(other_key, id), "permission_denied");
  EXPECT_EQ(carried_out_, 0);
  EXPECT_EQ(state(id), "waiting");
  // The same name in another tenant is somebody else.
  const std::string of_acme = asked(person("boss", "acme"));
  EXPECT_EQ(approved(other_key, of_acme), "ok");
}

TEST_F(ApprovalsTest, TheMachineIsOnePersonWhateverItsUser) {
  const std::string id = asked(person("local:1000"));
  EXPECT_EQ(approved(person("local:1000"), id), "permission_denied");
  EXPECT_EQ(approved(person("local:0"), id), "permission_denied");
  EXPECT_EQ(approved(person("boss"), id), "ok");
  EXPECT_EQ(approved(person("local:0"), asked(person("boss"))), "ok");
}

TEST_F(ApprovalsTest, OfAnotherTenantThereIsNothing) {
  const std::string id = asked(person("boss"));
  const std::string of_acme = asked(person("boss", "acme"));
  const Actor stranger = person("stranger", "globex");
  for (const std::string& one : {id, of_acme, std::string("apr_none"), std::string()}) {
    EXPECT_EQ(approved(stranger, one), "not_found");
    EXPECT_EQ(refused(stranger, one), "not_found");
    EXPECT_FALSE(approvals_->find(stranger, one));
  }
  EXPECT_TRUE(approvals_->list(stranger)->empty());
  EXPECT_EQ(approvals_->list(person("x", "acme"))->size(), 1U);
  EXPECT_EQ(approvals_->list(person("x"))->size(), 2U);
  EXPECT_EQ(approved(person("x", "acme"), id), "not_found");
  EXPECT_EQ(carried_out_, 0);
  EXPECT_EQ(approved(person("x"), of_acme), "ok");
  EXPECT_EQ(carried_out_as_.tenant, TenantId("acme")) << "and reaches no further than the first";
}

TEST_F(ApprovalsTest, IsOverWhenNobodySaysYesAndNoClockRevivesIt) {
  const std::string id = asked(person("boss"));
  keys_.clock_.advance_ms(kHours * kHourMs - 1);
  EXPECT_EQ(state(id), "waiting");
  keys_.clock_.advance_ms(1);
  EXPECT_EQ(state(id), "expired");
  EXPECT_EQ(approved(person("second"), id), "already_exists");
  keys_.clock_.advance_ms(-kHours * kHourMs);
  EXPECT_EQ(state(id), "expired") << "the clock was set back";
  EXPECT_EQ(approved(person("second"), id), "already_exists");
  EXPECT_EQ(refused(person("second"), id), "already_exists");
  EXPECT_EQ(carried_out_, 0);
}

TEST_F(ApprovalsTest, EndsUndoneWhenItIsRefusedOrWithdrawn) {
  const std::string refused_one = asked(person("boss"));
  EXPECT_EQ(refused(person("second"), refused_one, ""), "invalid_argument");
  EXPECT_EQ(refused(person("second"), refused_one, std::string(201, 'x')), "invalid_argument");
  EXPECT_EQ(state(refused_one), "waiting");
  EXPECT_EQ(refused(person("second"), refused_one, "we need it"), "refused");
  EXPECT_EQ(approvals_->find(person("boss"), refused_one)->row.reason, "we need it");
  const std::string own = asked(person("boss"));
  EXPECT_NE(own, refused_one);
  EXPECT_EQ(refused(person("boss"), own), "withdrawn");
  for (const std::string& id : {refused_one, own}) {
    EXPECT_EQ(approved(person("second"), id), "already_exists");
  }
  EXPECT_EQ(carried_out_, 0);
}

TEST_F(ApprovalsTest, ThePermissionIsAskedForUnlessOneTakesBackOnesOwn) {
  const std::string id = asked(person("boss"));
  const Approvals::Permitted never = [](const Approval&) -> Result<> {
    return fail(Code::permission_denied, "no");
  };
  const Approvals::CarryOut counted = [this](const Actor&, const HeldCall&) {
    ++carried_out_;
    return 200;
  };
  EXPECT_EQ(approvals_->approve(person("second"), id, never, counted).error().message, "no");
  EXPECT_EQ(approvals_->refuse(person("second"), id, never, "x").error().message, "no");
  EXPECT_EQ(state(id), "waiting");
  EXPECT_EQ(carried_out_, 0);
  EXPECT_EQ(approvals_->refuse(person("boss"), id, never, "x")->state, ApprovalState::withdrawn);
}

TEST_F(ApprovalsTest, DiesWithTheKeyThatAsked) {
  Actor boss = person("boss");
  boss.key_id = keys_.make("boss", Role::admin).info.key_id.value();
  const std::string id = asked(boss);
  ASSERT_TRUE(keys_.service_->revoke(keys_.admin(), boss.key_id, "stolen"));
  EXPECT_EQ(approved(person("second"), id), "already_exists");
  EXPECT_EQ(carried_out_, 0);
  EXPECT_EQ(state(id), "waiting");
  EXPECT_EQ(refused(person("second"), id), "refused");
}

// A session ends in minutes; a person's request does not, unless something is wrong with him.
TEST_F(ApprovalsTest, OutlivesTheSessionThatAskedAndNotThePerson) {
  PersonRows people(*keys_.database_, keys_.secrets_);
  store::PersonRow row{.tenant = "default",
                       .name = "ann",
                       .role = "admin",
                       .label = "",
                       .password_hash = "x",
                       .must_change = false,
                       .created_ms = 1,
                       .password_ms = 1};
  ASSERT_TRUE(people.insert(row));
  Actor ann = person("boss");
  ann.operator_id = "ann";
  ann.key_id = "ses_00112233445566778899aabb";
  ann.authentication = "session";
  EXPECT_EQ(approved(ann, asked(ann)), "permission_denied");
  EXPECT_EQ(approved(person("second"), asked(ann)), "ok");
  const auto dies_with = [&](const std::function<void(store::PersonRow&)>& change) {
    const std::string id = asked(ann);
    store::PersonRow changed = row;
    change(changed);
    EXPECT_TRUE(people.update(changed));
    EXPECT_EQ(approved(person("second"), id), "already_exists");
    EXPECT_TRUE(people.update(row));
    EXPECT_EQ(approved(person("second"), id), "ok");
  };
  dies_with([](store::PersonRow& changed) { changed.disabled_ms = 5; });
  dies_with([](store::PersonRow& changed) { changed.role = "user"; });
  dies_with([](store::PersonRow& changed) { changed.password_ms = kTestNowMs + 1; });
  const std::string id = asked(ann);
  ASSERT_TRUE(people.erase({.name = "ann"}));
  EXPECT_EQ(approved(person("second"), id), "already_exists");
  EXPECT_EQ(carried_out_, 4);
}

TEST_F(ApprovalsTest, AskingAgainIsTheSameRequest) {
  const std::string id = asked(person("boss"));
  EXPECT_EQ(asked(person("boss")), id);
  EXPECT_NE(asked(person("boss"), removal("2")), id);
  EXPECT_NE(asked(person("third")), id);
  EXPECT_EQ(approvals_->list(person("boss"))->size(), 3U);
}

TEST_F(ApprovalsTest, OneTenantCannotFillTheTable) {
  for (std::size_t i = 0; i < kApprovalsWaitingMax; ++i) {
    asked(person("boss", "acme"), removal(std::to_string(i)));
  }
  const auto more = approvals_->request(person("boss", "acme"), removal("more"), kHours);
  EXPECT_EQ(more.error().code, Code::resource_exhausted);
  EXPECT_EQ(asked(person("boss", "acme"), removal("7")).size(), 28U) << "what waits, waits";
  asked(person("boss"), removal("more"));
  HeldCall large = removal();
  large.body = std::string(kHeldBodyBytesMax + 1, ' ');
  EXPECT_EQ(approvals_->request(person("boss"), large, kHours).error().code,
            Code::invalid_argument);
}

// Somebody with the database's file changes one column: every one counts.
TEST_F(ApprovalsTest, ARowThatWasEditedIsRefused) {
  const std::string id = asked(person("boss"));
  store::ApprovalTable table(*keys_.database_);
  const store::ApprovalRow good = **table.find(id);
  using Row = store::ApprovalRow;
  const std::vector<std::function<void(Row&)>> edits{
      [](Row& row) { row.operator_id = "somebody"; },
      [](Row& row) { row.tenant = "acme"; },
      [](Row& row) { row.key_id = "key_x"; },
      [](Row& row) { row.role = "user"; },
      [](Row& row) { row.authentication = "local_socket"; },
      [](Row& row) { row.ip_address = "192.0.2.9"; },
      [](Row& row) { row.scopes = "see_status"; },
      [](Row& row) { row.route = "POST /admin/v1/custody/roll"; },
      [](Row& row) { row.argument = "llama"; },
      [](Row& row) { row.body = R"({"version":"2"})"; },
      [](Row& row) { row.action = "model.pin"; },
      [](Row& row) { row.resource = "something harmless"; },
      [](Row& row) { row.created_ms -= 1; },
      [](Row& row) { row.expires_ms += 1; },
      [](Row& row) { row.decided_by = "boss"; },
      [](Row& row) { row.decided_tenant = "acme"; },
      [](Row& row) { row.decided_key_id = "key_x"; },
      [](Row& row) { row.decided_ms = 1; },
      [](Row& row) { row.reason = "x"; },
      [](Row& row) { row.status = 200; },
      [](Row& row) { row.state = "refused"; },
      [](Row& row) { std::swap(row.argument, row.action); },
      [](Row& row) { row.row_mac[0] = row.row_mac[0] == 'a' ? 'b' : 'a'; }};
  for (std::size_t i = 0; i < edits.size(); ++i) {
    Row edited = good;
    edits[i](edited);
    ASSERT_NE(edited, good) << i;
    ASSERT_TRUE(table.prune(std::numeric_limits<UnixMillis>::max()));
    ASSERT_TRUE(table.insert(edited));
    EXPECT_EQ(approved(person("second"), id), "corrupt") << i;
    EXPECT_EQ(refused(person("second"), id), "corrupt") << i;
    EXPECT_EQ(state(id), "altered") << i;
  }
  EXPECT_EQ(carried_out_, 0);
  ASSERT_TRUE(table.prune(std::numeric_limits<UnixMillis>::max()));
  ASSERT_TRUE(table.insert(good));
  EXPECT_EQ(approved(person("second"), id), "ok");
}

TEST_F(ApprovalsTest, AnotherInstallationsRowsAreRefused) {
  const std::string id = asked(person("boss"));
  keys_.secrets_ = test_secrets('x');
  open();
  EXPECT_EQ(approved(person("second"), id), "corrupt");
}

// The decision is on the disk before the effect: what ends in between does nothing twice.
TEST_F(ApprovalsTest, ACrashInTheMiddleLeavesItInterrupted) {
  const std::string id = asked(person("boss"));
  std::optional<store::ApprovalRow> meanwhile;
  const auto done =
      approvals_->approve(person("second"), id, permit, [&](const Actor&, const HeldCall&) {
        meanwhile = *store::ApprovalTable(*keys_.database_).find(id);
        return 200;
      });
  ASSERT_TRUE(done);
  ASSERT_TRUE(meanwhile);
  EXPECT_EQ(meanwhile->state, "approved");
  EXPECT_EQ(meanwhile->decided_by, "second");
  // As the database was when it happened.
  store::ApprovalTable table(*keys_.database_);
  ASSERT_TRUE(table.prune(std::numeric_limits<UnixMillis>::max()));
  ASSERT_TRUE(table.insert(*meanwhile));
  restart();
  EXPECT_EQ(state(id), "interrupted");
  EXPECT_EQ(approved(person("second"), id), "already_exists");
  EXPECT_EQ(approved(person("third"), id), "already_exists");
  EXPECT_EQ(carried_out_, 0);
}

TEST_F(ApprovalsTest, WhatFailedIsOverToo) {
  const std::string id = asked(person("boss"));
  EXPECT_EQ(approved(person("second"), id, 404), "ok");
  EXPECT_EQ(state(id), "failed");
  EXPECT_EQ(approvals_->find(person("boss"), id)->row.status, 404);
  EXPECT_EQ(approved(person("second"), id), "already_exists");
  EXPECT_EQ(carried_out_, 1);
}

TEST_F(ApprovalsTest, WithoutARecordNothingHappens) {
  const std::string id = asked(person("boss"));
  keys_.appends_left_ = 0;
  EXPECT_EQ(approved(person("second"), id), "unavailable");
  EXPECT_EQ(refused(person("second"), id), "unavailable");
  EXPECT_FALSE(approvals_->request(person("boss"), removal("2"), kHours));
  keys_.appends_left_.reset();
  EXPECT_EQ(state(id), "waiting");
  EXPECT_EQ(carried_out_, 0);
  EXPECT_EQ(approvals_->list(person("boss"))->size(), 1U);
}

TEST_F(ApprovalsTest, BothPersonsAreOnRecord) {
  const std::string id = asked(person("boss"));
  EXPECT_EQ(approved(person("boss"), id), "permission_denied");
  EXPECT_EQ(approved(person("second"), id), "ok");
  const std::string own = asked(person("boss"));
  EXPECT_EQ(refused(person("third"), own, "not now"), "refused");
  std::vector<std::string> lines;
  for (const audit::Record& record : keys_.records_) {
    if (record.action.starts_with("approval.")) {
      const char* outcome = record.phase == Phase::intent        ? "intent"
                            : record.outcome == Outcome::success ? "success"
                                                                 : "refused";
      lines.push_back(record.action + " " + outcome + " " + record.operator_id + " " +
                      (record.resource == id    ? "first"
                       : record.resource == own ? "second"
                                                : "-") +
                      ": " + record.reason);
    }
  }
  const std::string what = "model.remove qwen 1";
  EXPECT_EQ(
      lines,
      (std::vector<std::string>{
          "approval.request intent boss -: " + what, "approval.request success boss first: " + what,
          "approval.approve intent boss first: " + what + " requested by default/boss",
          "approval.approve refused boss first: permission_denied",
          "approval.approve intent second first: " + what + " requested by default/boss",
          "approval.approve success second first: " + what + " requested by default/boss",
          "approval.request intent boss -: " + what,
          "approval.request success boss second: " + what,
          "approval.refuse intent third second: " + what + " requested by default/boss: not now",
          "approval.refuse success third second: " + what +
              " requested by default/boss: not now"}));
}

// A key with scopes asks for no more than it has.
TEST_F(ApprovalsTest, TheRequestersScopesStay) {
  Actor narrow = person("boss");
  PermissionSet scopes;
  scopes.add(Permission::manage_keys);
  scopes.add(Permission::see_status);
  narrow.narrowed_to = scopes;
  EXPECT_EQ(approved(person("second"), asked(narrow)), "ok");
  EXPECT_EQ(carried_out_as_.narrowed_to, scopes);
  EXPECT_EQ(approved(person("second"), asked(person("boss"))), "ok");
  EXPECT_EQ(carried_out_as_.narrowed_to, std::nullopt);
}

}  // namespace
}  // namespace deepmoat::identity
