// Administration: what changes, what is on record, and what a failure in the middle leaves.
#include "identity/key_service.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "audit/log.h"
#include "audit/scratch_log.h"
#include "base/hex.h"
#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

using audit::Operation;
using audit::Outcome;
using audit::Phase;

TEST(KeyService, CreatesAKeyThatWorksAlsoAfterARestart) {
  ScratchKeys keys;
  const auto created = keys.service_->create(keys.admin(), {.client_id = "billing-app",
                                                            .role = Role::user,
                                                            .tenant = "acme",
                                                            .lifetime_s = 7 * 86'400,
                                                            .label = "the \xE8\xB4\xA6 service"});
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_TRUE(created->info.key_id.value().starts_with("key_"));
  EXPECT_EQ(created->info.key_id.value().size(), 28U);
  EXPECT_EQ(created->info.expires_ms, kTestNowMs + 7 * kDayMs);
  EXPECT_EQ(created->info.kind, "live");
  EXPECT_EQ(created->info.state, KeyState::active);
  EXPECT_EQ(keys.tried(created->shown.reveal()), "ok");
  keys.restart();
  EXPECT_EQ(keys.tried(created->shown.reveal()), "ok");
}

TEST(KeyService, MakesNoKeyWhileTheRootKeysAreLost) {
  ScratchKeys keys;
  bool lost = true;
  keys.service_->ask_before_issuing([&lost]() -> Result<> {
    return lost ? Result<>(fail(Code::custody_unavailable, "no token")) : Result<>();
  });
  const CreateKey request{.client_id = "late", .label = ""};
  const auto refused = keys.service_->create(keys.admin(), request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::custody_unavailable);
  EXPECT_TRUE(keys.database_->list_keys()->empty());
  EXPECT_EQ(keys.records_.back().outcome, Outcome::failed);
  EXPECT_EQ(keys.records_.back().reason, "custody_unavailable");
  EXPECT_TRUE(keys.service_->list(keys.admin()));  // looking is no issuing
  lost = false;
  EXPECT_TRUE(keys.service_->create(keys.admin(), request));
}

TEST(KeyService, StoresNothingThatCouldRebuildAKey) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  keys.restart();
  const auto parsed = parse_key(key.shown.reveal());
  for (const auto& file : std::filesystem::directory_iterator(keys.folder_)) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(bytes.find(parsed->mac), std::string::npos) << file.path();
    EXPECT_EQ(bytes.find(parsed->salt), std::string::npos) << file.path();
    EXPECT_EQ(bytes.find(*from_hex(parsed->mac)), std::string::npos) << file.path();
    EXPECT_EQ(bytes.find(*from_hex(parsed->salt)), std::string::npos) << file.path();
  }
  for (const audit::Record& record : keys.records_) {
    EXPECT_EQ(record.resource.find(parsed->mac), std::string::npos);
    EXPECT_EQ(record.resource.find(parsed->salt), std::string::npos);
  }
}

TEST(KeyService, WhatIsKeptOfALeakIsKeptWithItOrNeitherIs) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const std::string id = key.info.key_id.value();
  const auto leak = [&](const Result<>& kept) {
    return keys.service_->leak(keys.admin(), id, "seen", [&](const LeakedKey& leaked) -> Result<> {
      EXPECT_EQ(leaked.info.key_id, key.info.key_id);
      EXPECT_NE(keys.tried(key.shown.reveal()), "ok") << "refused before anything is written";
      CHECK_OK(keys.database_->set_setting("kept", id));
      return kept;
    });
  };
  EXPECT_FALSE(leak(fail(Code::io, "the disk is full")));
  EXPECT_EQ(keys.tried(key.shown.reveal()), "ok");
  EXPECT_FALSE(*keys.database_->setting("kept"));
  const auto leaked = leak(Result<>());
  ASSERT_TRUE(leaked) << leaked.error().message;
  EXPECT_EQ(leaked->before, KeyState::active);
  EXPECT_EQ(*keys.database_->setting("kept"), id);
  keys.restart();
  EXPECT_NE(keys.tried(key.shown.reveal()), "ok");
  EXPECT_EQ(leak(Result<>())->before, KeyState::revoked)
      << "one that was revoked before is kept as well";
}

TEST(KeyService, WritesIntentAndResultOfEveryAction) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const std::string id = key.info.key_id.value();
  ASSERT_TRUE(keys.service_->list(keys.admin()));
  ASSERT_TRUE(keys.service_->show(keys.admin(), id));
  ASSERT_TRUE(keys.service_->expire(keys.admin(), id, kTestNowMs + 1));
  ASSERT_TRUE(keys.service_->revoke(keys.admin(), id, "left the company"));
  struct Expected {
    std::string action;
    Operation operation;
  };
  const std::vector<Expected> expected{{"key.create", Operation::write},
                                       {"key.list", Operation::read},
                                       {"key.show", Operation::read},
                                       {"key.expire", Operation::write},
                                       {"key.revoke", Operation::write}};
  ASSERT_EQ(keys.records_.size(), 2 * expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const audit::Record& intent = keys.records_[2 * i];
    const audit::Record& result = keys.records_[2 * i + 1];
    EXPECT_EQ(intent.phase, Phase::intent);
    EXPECT_EQ(intent.outcome, Outcome::pending);
    EXPECT_EQ(result.phase, Phase::result);
    EXPECT_EQ(result.outcome, Outcome::success);
    EXPECT_EQ(result.intent_sequence, 2 * i);
    for (const audit::Record* record : {&intent, &result}) {
      EXPECT_EQ(record->action, expected[i].action);
      EXPECT_EQ(record->operation, expected[i].operation);
      EXPECT_EQ(record->operator_id, "boss");
      EXPECT_EQ(record->key_id, "key_of_boss");
      EXPECT_EQ(record->role, "admin");
      EXPECT_EQ(record->ip_address, "192.0.2.1");
      EXPECT_EQ(record->authentication, "api_key");
      EXPECT_EQ(record->request_id, "req_1");
    }
    EXPECT_EQ(result.resource, expected[i].action == "key.list" ? "" : id);
  }
  EXPECT_EQ(keys.records_[8].resource, id) << "the intent of a revocation names its key";
  EXPECT_EQ(keys.records_[8].reason, "left the company");
}

TEST(KeyService, RefusesAndRecordsBadRequests) {
  ScratchKeys keys;
  const std::vector<CreateKey> bad{
      {.client_id = "", .label = ""},
      {.client_id = "Has Spaces", .label = ""},
      {.client_id = "' OR '1'='1", .label = ""},
      {.client_id = std::string(5000, 'a'), .label = ""},
      {.client_id = "app", .tenant = "", .label = ""},
      {.client_id = "app", .tenant = "../etc", .label = ""},
      {.client_id = "app", .lifetime_s = 0, .label = ""},
      {.client_id = "app", .lifetime_s = -1, .label = ""},
      {.client_id = "app", .lifetime_s = 90 * 86'400 + 1, .label = ""},
      {.client_id = "app", .lifetime_s = INT64_MAX, .label = ""},
      {.client_id = "app", .label = std::string(201, 'x')},
      {.client_id = "app", .label = "\x1b[2J"},
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const auto created = keys.service_->create(keys.admin(), bad[i]);
    ASSERT_FALSE(created) << i;
    EXPECT_EQ(created.error().code, Code::invalid_argument) << i;
    EXPECT_EQ(keys.records_.back().outcome, Outcome::refused);
    EXPECT_EQ(keys.records_.back().reason, "invalid_argument");
  }
  EXPECT_EQ(keys.records_.size(), 2 * bad.size());
  EXPECT_TRUE(keys.database_->list_keys()->empty());
}

TEST(KeyService, FindsAKeyByIdByPrefixAndByItself) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  keys.make("other");
  const std::string id = key.info.key_id.value();
  const std::string body(key.shown.reveal().substr(9, 64));
  for (const std::string& reference :
       {id, id.substr(0, 14), std::string(key.shown.reveal()), body}) {
    const auto shown = keys.service_->show(keys.admin(), reference);
    ASSERT_TRUE(shown) << shown.error().message;
    EXPECT_EQ(shown->key_id, key.info.key_id);
  }
  const std::string unknown = "key_" + std::string(24, 'z');
  EXPECT_EQ(keys.service_->show(keys.admin(), unknown).error().code, Code::not_found);
  for (const char* reference : {"", "key_", "key_1", "app", "dmk_live_", "%"}) {
    const auto refused = keys.service_->show(keys.admin(), reference);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::invalid_argument) << reference;
  }
}

TEST(KeyService, RefusesAPrefixThatFitsTwoKeys) {
  ScratchKeys keys;
  store::KeyRow row = *keys.database_->find_key(keys.make("app").info.key_id.value());
  row.key_id = row.key_id.substr(0, 20) + "00000000";
  row.lookup = std::string(64, 'e');
  row.row_mac = keys.authority_.row_mac(row);
  ASSERT_TRUE(keys.database_->insert_key(row));
  const auto refused = keys.service_->revoke(keys.admin(), row.key_id.substr(0, 20), "leaked");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
  EXPECT_EQ(keys.service_->list(keys.admin())->front().state, KeyState::active);
}

TEST(KeyService, RevokesAtOnceAndForGood) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const CreatedKey other = keys.make("other");
  const std::string id = key.info.key_id.value();
  EXPECT_EQ(keys.service_->revoke(keys.admin(), id, "").error().code, Code::invalid_argument);
  EXPECT_EQ(keys.tried(key.shown.reveal()), "ok");
  const auto revoked = keys.service_->revoke(keys.admin(), key.shown.reveal(), "leaked");
  ASSERT_TRUE(revoked);
  EXPECT_EQ(revoked->state, KeyState::revoked);
  EXPECT_EQ(revoked->revoke_reason, "leaked");
  EXPECT_EQ(keys.tried(key.shown.reveal()), "key_revoked");
  keys.clock_.advance_ms(1000);
  const auto again = keys.service_->revoke(keys.admin(), id, "another reason");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->revoke_reason, "leaked");
  EXPECT_EQ(again->revoked_ms, kTestNowMs);
  keys.restart();
  EXPECT_EQ(keys.tried(key.shown.reveal()), "key_revoked");
  EXPECT_EQ(keys.tried(other.shown.reveal()), "ok");
}

TEST(KeyService, ALeakIsARevocationThatIsOnRecordAsOne) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  EXPECT_EQ(keys.service_->leak(keys.admin(), key.info.key_id.value(), "").error().code,
            Code::invalid_argument);
  const auto leaked = keys.service_->leak(keys.admin(), key.shown.reveal(), "in a forum");
  ASSERT_TRUE(leaked);
  EXPECT_EQ(leaked->before, KeyState::active);
  EXPECT_EQ(leaked->info.state, KeyState::revoked);
  EXPECT_EQ(leaked->info.revoke_reason, "in a forum");
  EXPECT_EQ(keys.tried(key.shown.reveal()), "key_revoked");
  const audit::Record& result = keys.records_.at(leaked->audit_sequence);
  EXPECT_EQ(result.action, "key.leak");
  EXPECT_EQ(result.phase, audit::Phase::result);
  EXPECT_EQ(result.outcome, audit::Outcome::success);
  EXPECT_EQ(result.resource, key.info.key_id.value());
  EXPECT_EQ(result.reason, "in a forum");
  const auto again = keys.service_->leak(keys.admin(), key.info.key_id.value(), "once more");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->before, KeyState::revoked);
  EXPECT_EQ(again->info.revoke_reason, "in a forum");
  EXPECT_GT(again->audit_sequence, leaked->audit_sequence);
}

TEST(KeyService, EndsAKeySoonerAndNeverLater) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const std::string id = key.info.key_id.value();
  const auto later = keys.service_->expire(keys.admin(), id, key.info.expires_ms + 1);
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, Code::invalid_argument);
  ASSERT_TRUE(keys.service_->expire(keys.admin(), id, kTestNowMs + kDayMs));
  EXPECT_EQ(keys.tried(key.shown.reveal()), "ok");
  EXPECT_FALSE(keys.service_->expire(keys.admin(), id, kTestNowMs + 2 * kDayMs));
  const auto now = keys.service_->expire(keys.admin(), id, kTestNowMs);
  ASSERT_TRUE(now);
  EXPECT_EQ(now->state, KeyState::expired);
  EXPECT_EQ(keys.tried(key.shown.reveal()), "key_expired");
}

TEST(KeyService, KeepsTenantsApart) {
  ScratchKeys keys;
  const std::string acme = keys.make("app", Role::user, "acme").info.key_id.value();
  const std::string home = keys.make("app").info.key_id.value();
  const Actor stranger = keys.admin_of("other");
  EXPECT_TRUE(keys.service_->list(stranger)->empty());
  for (const std::string& id : {acme, home}) {
    EXPECT_EQ(keys.service_->show(stranger, id).error().code, Code::not_found);
    EXPECT_EQ(keys.service_->revoke(stranger, id, "mine now").error().code, Code::not_found);
    EXPECT_EQ(keys.service_->expire(stranger, id, 0).error().code, Code::not_found);
  }
  const auto foreign =
      keys.service_->create(stranger, {.client_id = "app", .tenant = "acme", .label = ""});
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, Code::permission_denied);
  EXPECT_EQ(keys.service_->list(keys.admin_of("acme"))->size(), 1U);
  EXPECT_TRUE(keys.service_->show(keys.admin_of("acme"), acme));
  EXPECT_EQ(keys.service_->list(keys.admin())->size(), 2U);
}

TEST(KeyService, DoesNothingWithoutAnAuditRecord) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const std::string id = key.info.key_id.value();
  keys.appends_left_ = 0;
  EXPECT_EQ(keys.service_->create(keys.admin(), {.client_id = "b", .label = ""}).error().code,
            Code::unavailable);
  EXPECT_EQ(keys.service_->revoke(keys.admin(), id, "leaked").error().code, Code::unavailable);
  EXPECT_EQ(keys.service_->list(keys.admin()).error().code, Code::unavailable);
  EXPECT_EQ(keys.database_->list_keys()->size(), 1U);
  EXPECT_EQ(keys.database_->find_key(id)->revoked_ms, 0);
  EXPECT_EQ(keys.tried(key.shown.reveal()), "ok");
}

TEST(KeyService, AnswersNothingWhenTheResultCannotBeWritten) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  keys.appends_left_ = 1;  // the intent fits, the result does not
  const auto created = keys.service_->create(keys.admin(), {.client_id = "b", .label = ""});
  ASSERT_FALSE(created) << "a key that is not on record is never shown";
  EXPECT_EQ(created.error().code, Code::unavailable);
  keys.appends_left_ = 1;
  EXPECT_FALSE(keys.service_->revoke(keys.admin(), key.info.key_id.value(), "leaked"));
  EXPECT_EQ(keys.tried(key.shown.reveal()), "key_revoked") << "the intent stands, so it holds";
}

TEST(KeyService, NeverMakesAForgedRowGood) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const std::string id = key.info.key_id.value();
  store::KeyRow forged = *keys.database_->find_key(id);
  forged.role = "admin";
  ASSERT_TRUE(keys.database_->update_key(forged));
  keys.restart();
  EXPECT_EQ(keys.service_->corrupt_rows(), 1U);
  EXPECT_EQ(keys.tried(key.shown.reveal()), "invalid_api_key");
  EXPECT_EQ(keys.service_->show(keys.admin(), id)->state, KeyState::corrupt);
  EXPECT_EQ(keys.service_->expire(keys.admin(), id, kTestNowMs + 1).error().code, Code::corrupt);
  EXPECT_EQ(keys.service_->revoke(keys.admin(), id, "odd").error().code, Code::corrupt);
  EXPECT_EQ(*keys.database_->find_key(id), forged);
}

TEST(KeyService, ChangesALivingKeyAtOnce) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const std::string id = key.info.key_id.value();
  const std::string shown(key.shown.reveal());
  const auto rules = [&] {
    return keys.authenticator_.authenticate(shown, keys.clock_.unix_ms(), "10.0.0.1")->rules;
  };
  EXPECT_TRUE(rules()->may_use_model("other"));
  const auto changed = keys.service_->change(
      keys.admin(), id,
      {.label = "new", .models = {{"demo"}}, .ip_ranges = {{"10.0.0.0/8"}}, .concurrent_calls = 3});
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(changed->label, "new");
  EXPECT_EQ(changed->attributes.models, std::vector<std::string>{"demo"});
  EXPECT_FALSE(rules()->may_use_model("other"));
  EXPECT_EQ(rules()->limits.concurrent_calls, 3);
  EXPECT_FALSE(keys.authenticator_.authenticate(shown, keys.clock_.unix_ms(), "11.0.0.1"));
  const audit::Record& intent = keys.records_[keys.records_.size() - 2];
  EXPECT_EQ(intent.action, "key.change");
  EXPECT_EQ(intent.resource, id);
  EXPECT_EQ(intent.reason, "ip_ranges=10.0.0.0/8; models=demo; concurrent_calls=3; label=new");
  EXPECT_EQ(keys.records_.back().outcome, Outcome::success);
  keys.restart();
  EXPECT_EQ(rules()->limits.concurrent_calls, 3);
  ASSERT_TRUE(keys.service_->change(keys.admin(), id, {.models = std::vector<std::string>()}));
  EXPECT_TRUE(rules()->may_use_model("other"));
  EXPECT_EQ(rules()->limits.concurrent_calls, 3) << "what is not named stays";
}

TEST(KeyService, RefusesBadChangesAndRecordsThem) {
  ScratchKeys keys;
  const std::string id = keys.make("app").info.key_id.value();
  const store::KeyRow before = *keys.database_->find_key(id);
  for (const KeyChange& bad :
       {KeyChange{.label = std::string(201, 'x')}, KeyChange{.models = {{"a\nb"}}},
        KeyChange{.adapter_only = true}, KeyChange{.ip_ranges = {{"10.0.0.0/99"}}},
        KeyChange{.data_class = "SECRET"}, KeyChange{.scopes = {{"manage_keys"}}},
        KeyChange{.scopes = {{"x; y=z\n"}}}, KeyChange{.requests_per_minute = -1}}) {
    const auto refused = keys.service_->change(keys.admin(), id, bad);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::invalid_argument) << refused.error().message;
    EXPECT_EQ(keys.records_.back().outcome, Outcome::refused);
    EXPECT_EQ(keys.records_.back().resource, id);
  }
  EXPECT_EQ(*keys.database_->find_key(id), before);
  EXPECT_EQ(keys.service_->change(keys.admin_of("other"), id, {.label = "x"}).error().code,
            Code::not_found);
  ASSERT_TRUE(keys.service_->revoke(keys.admin(), id, "lost"));
  const auto dead = keys.service_->change(keys.admin(), id, {.label = "x"});
  ASSERT_FALSE(dead);
  EXPECT_NE(dead.error().message.find("revoked"), std::string::npos);
}

TEST(KeyService, SealsAnOldRowAnewWhenItChanges) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  store::KeyRow old = *keys.database_->find_key(key.info.key_id.value());
  old.mac_version = 1;
  old.row_mac = keys.authority_.row_mac(old);
  ASSERT_TRUE(keys.database_->update_key(old));
  keys.restart();
  EXPECT_EQ(keys.tried(key.shown.reveal()), "ok");
  ASSERT_TRUE(keys.service_->change(keys.admin(), old.key_id, {.label = "x"}));
  EXPECT_EQ(keys.database_->find_key(old.key_id)->mac_version, kRowMacVersion);
  EXPECT_EQ(keys.tried(key.shown.reveal()), "ok");
}

TEST(KeyService, AnEditedAttributeMakesTheKeyUnusableAndUnchangeable) {
  ScratchKeys keys;
  const auto key = keys.service_->create(
      keys.admin(), {.client_id = "app", .label = "", .attributes = {.ip_ranges = {"10.0.0.0/8"}}});
  ASSERT_TRUE(key);
  store::KeyRow edited = *keys.database_->find_key(key->info.key_id.value());
  edited.ip_ranges = "0.0.0.0/0";
  ASSERT_TRUE(keys.database_->update_key(edited));
  keys.restart();
  EXPECT_EQ(keys.service_->corrupt_rows(), 1U);
  EXPECT_FALSE(keys.authenticator_.authenticate(key->shown.reveal(), kTestNowMs, "10.0.0.1"));
  EXPECT_EQ(keys.service_->show(keys.admin(), edited.key_id)->state, KeyState::corrupt);
  EXPECT_EQ(keys.service_->change(keys.admin(), edited.key_id, {.ip_ranges = {{"10.0.0.0/8"}}})
                .error()
                .code,
            Code::corrupt);
}

TEST(KeyService, ANarrowedAdministratorGivesNobodyMoreThanHeHas) {
  ScratchKeys keys;
  Actor narrow = keys.admin();
  narrow.narrowed_to = PermissionSet();
  narrow.narrowed_to->add(Permission::manage_keys);
  const auto create = [&](Role role, std::vector<std::string> scopes) {
    const auto made = keys.service_->create(narrow, {.client_id = "app",
                                                     .role = role,
                                                     .label = "",
                                                     .attributes = {.scopes = std::move(scopes)}});
    return made ? std::string("ok") : std::string(code_name(made.error().code));
  };
  EXPECT_EQ(create(Role::user, {}), "ok");
  EXPECT_EQ(create(Role::admin, {"manage_keys"}), "ok");
  EXPECT_EQ(create(Role::admin, {"manage_keys", "call_models"}), "ok");
  EXPECT_EQ(create(Role::admin, {}), "permission_denied");
  EXPECT_EQ(create(Role::operator_, {}), "permission_denied");
  EXPECT_EQ(create(Role::operator_, {"see_status"}), "permission_denied");
  EXPECT_EQ(create(Role::auditor, {}), "permission_denied");
  // His own key, whose scopes he would like to be rid of.
  const auto own = keys.service_->create(keys.admin(), {.client_id = "narrow",
                                                        .role = Role::admin,
                                                        .label = "",
                                                        .attributes = {.scopes = {"manage_keys"}}});
  ASSERT_TRUE(own);
  const std::string id = own->info.key_id.value();
  EXPECT_EQ(keys.service_->change(narrow, id, {.scopes = std::vector<std::string>()}).error().code,
            Code::permission_denied);
  EXPECT_TRUE(keys.service_->change(narrow, id, {.label = "mine"}));
  const std::string wide = keys.make("wide", Role::admin).info.key_id.value();
  EXPECT_EQ(keys.service_->change(narrow, wide, {.label = "x"}).error().code,
            Code::permission_denied);
  EXPECT_TRUE(keys.service_->revoke(narrow, wide, "leaked"));
}

TEST(KeyService, RefusesADatabaseOfAnotherKeyFile) {
  ScratchKeys keys;
  const auto service = KeyService::open(
      *keys.database_, [&](audit::Record record) { return keys.append(std::move(record)); },
      keys.authenticator_, keys.authority_, keys.clock_, std::string(32, 'b'));
  ASSERT_FALSE(service);
  EXPECT_EQ(service.error().code, Code::corrupt);
}

AppendAudit into(audit::Log& log) {
  return [&log](audit::Record record) { return log.append_and_wait(std::move(record)); };
}

std::unique_ptr<KeyService> service_over(ScratchKeys& keys, AppendAudit append) {
  auto service = KeyService::open(*keys.database_, std::move(append), keys.authenticator_,
                                  keys.authority_, keys.clock_, std::string(32, 'a'));
  EXPECT_TRUE(service);
  return service ? *std::move(service) : nullptr;
}

TEST(KeyService, LeavesAVerifiableLog) {
  ScratchKeys keys;
  const std::filesystem::path folder = keys.folder_ / "audit";
  {
    auto log = audit::Log::open({.directory = folder, .segment_bytes = 1 << 20}, keys.clock_);
    ASSERT_TRUE(log) << log.error().message;
    const auto service = service_over(keys, into(**log));
    const auto created = service->create(keys.admin(), {.client_id = "app", .label = ""});
    ASSERT_TRUE(created);
    ASSERT_TRUE(service->revoke(keys.admin(), created->info.key_id.value(), "leaked"));
  }
  const auto report = audit::verified_folder(folder);
  EXPECT_TRUE(report.intact());
  EXPECT_EQ(report.records, 4U);
  EXPECT_EQ(report.unfinished, 0U);
}

// The process dies after the database changed and before the result is on record.
[[noreturn]] void create_and_die(ScratchKeys& keys, const std::filesystem::path& folder) {
  auto log = audit::Log::open({.directory = folder, .segment_bytes = 1 << 20}, keys.clock_);
  auto database = store::Database::open(keys.folder_ / "deepmoat.db");
  if (!log || !database) {
    ::_exit(2);
  }
  const AppendAudit append = [&](audit::Record record) -> Result<std::uint64_t> {
    if (record.phase == Phase::result) {
      ::_exit(0);
    }
    return (*log)->append_and_wait(std::move(record));
  };
  auto service = KeyService::open(**database, append, keys.authenticator_, keys.authority_,
                                  keys.clock_, std::string(32, 'a'));
  if (service) {
    (void)(*service)->create(keys.admin(), {.client_id = "app", .label = ""});
  }
  ::_exit(3);
}

TEST(KeyService, ShowsACrashBetweenDatabaseAndResult) {
  ScratchKeys keys;
  const std::filesystem::path folder = keys.folder_ / "audit";
  keys.service_.reset();
  keys.database_.reset();  // SQLite does not live through a fork
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    create_and_die(keys, folder);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 0);
  keys.restart();
  EXPECT_EQ(keys.database_->list_keys()->size(), 1U) << "the key is there, and nobody has it";
  const auto report = audit::verified_folder(folder);
  EXPECT_TRUE(report.intact());
  EXPECT_EQ(report.unfinished, 1U);
  EXPECT_EQ(report.unfinished_first, (std::vector<std::uint64_t>{1}));
}

}  // namespace
}  // namespace deepmoat::identity
