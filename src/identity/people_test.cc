// What an administrator does with people, and what no row that was altered can do.
#include "identity/people.h"

#include <gtest/gtest.h>

#include <functional>

#include "identity/scratch_people.h"

namespace deepmoat::identity {
namespace {

const PersonName kAlice{.tenant = "default", .name = "alice"};
const PersonName kBob{.tenant = "acme", .name = "bob"};

TEST(People, AreCreatedWithAPasswordThatIsShownOnce) {
  ScratchPeople people;
  const auto made = people.people_->create(
      people.admin(), {.who = kAlice, .role = Role::auditor, .label = "Alice A."});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->password.size(), 27U);
  EXPECT_EQ(made->info.role, "auditor");
  EXPECT_EQ(made->info.label, "Alice A.");
  EXPECT_TRUE(made->info.must_change);
  EXPECT_FALSE(made->info.second_factor);
  EXPECT_EQ(made->info.created_ms, kTestNowMs);
  const auto row = people.people_->rows().find(kAlice);
  ASSERT_TRUE(row && *row);
  EXPECT_TRUE((*row)->password_hash.starts_with("$argon2id$"));
  for (const audit::Record& record : people.records_) {
    EXPECT_EQ(record.reason.find(made->password.reveal()), std::string::npos);
  }
  ASSERT_EQ(people.records_.size(), 2U);
  EXPECT_EQ(people.records_[0].action, "person.create");
  EXPECT_EQ(people.records_[0].phase, audit::Phase::intent);
  EXPECT_EQ(people.records_[0].reason, "role=auditor");
  EXPECT_EQ(people.records_[1].resource, "default/alice");
  EXPECT_EQ(people.records_[1].outcome, audit::Outcome::success);
  EXPECT_EQ(people.people_->create(people.admin(), {.who = kAlice}).error().code,
            Code::already_exists);
}

TEST(People, AreNotMadeWithoutTheLog) {
  ScratchPeople people;
  people.appends_left_ = 0;
  EXPECT_EQ(people.people_->create(people.admin(), {.who = kAlice}).error().code,
            Code::unavailable);
  people.appends_left_.reset();
  EXPECT_EQ(people.people_->show(people.admin(), kAlice).error().code, Code::not_found);
}

TEST(People, HaveNamesAndLabelsWithinBounds) {
  ScratchPeople people;
  for (const std::string& name :
       {std::string(), std::string("Alice"), std::string("a b"), std::string("a/b"),
        std::string("alice\n"), std::string(64, 'a'), std::string("\xC3\xA4"), std::string("-a")}) {
    EXPECT_EQ(people.people_->create(people.admin(), {.who = {.name = name}}).error().code,
              Code::invalid_argument)
        << name;
  }
  EXPECT_EQ(people.people_
                ->create(people.admin(), {.who = {.name = "long"}, .label = std::string(201, 'x')})
                .error()
                .code,
            Code::invalid_argument);
}

TEST(People, OfOtherTenantsDoNotExist) {
  ScratchPeople people;
  people.created(kBob, Role::user);
  const Actor stranger = people.admin_of("globex");
  EXPECT_EQ(
      people.people_->create(stranger, {.who = {.tenant = "acme", .name = "eve"}}).error().code,
      Code::permission_denied);
  const PersonName nobody{.tenant = "acme", .name = "nobody"};
  for (const PersonName& who : {kBob, nobody}) {
    const std::vector<Error> errors{
        people.people_->show(stranger, who).error(),
        people.people_->change(stranger, who, {.role = Role::admin}).error(),
        people.people_->reset_password(stranger, who).error(),
        people.people_->sign_out(stranger, who).error(),
        people.people_->remove(stranger, who).error()};
    for (const Error& error : errors) {
      EXPECT_EQ(error.code, Code::not_found);
      EXPECT_EQ(error.message, "no such person");
    }
  }
  EXPECT_TRUE(people.people_->list(stranger)->empty());
  EXPECT_EQ(people.people_->list(people.admin_of("acme"))->size(), 1U);
  EXPECT_TRUE(people.people_->show(people.admin(), kBob)) << "the home tenant reaches all";
}

TEST(People, GetNoMoreThanTheActorHas) {
  ScratchPeople people;
  Actor narrow = people.admin();
  narrow.narrowed_to = PermissionSet();
  narrow.narrowed_to->add(Permission::manage_keys);
  EXPECT_EQ(people.people_->create(narrow, {.who = kAlice, .role = Role::admin}).error().code,
            Code::permission_denied);
  people.created(kAlice, Role::admin);
  EXPECT_EQ(people.people_->reset_password(narrow, kAlice).error().code, Code::permission_denied);
  people.created(kBob, Role::user);
  EXPECT_EQ(people.people_->change(narrow, kBob, {.role = Role::admin}).error().code,
            Code::permission_denied);
  ASSERT_TRUE(people.people_->change(people.admin(), kAlice, {.disabled = true}));
  EXPECT_EQ(people.people_->change(narrow, kAlice, {.disabled = false}).error().code,
            Code::permission_denied);
}

TEST(People, CannotMakeTheRecordSayMoreThanTheyDid) {
  ScratchPeople people;
  people.created(kAlice, Role::user);
  ASSERT_TRUE(people.people_->change(people.admin(), kAlice, {.label = "x; role=admin"}));
  EXPECT_EQ(people.records_.back().action, "person.change");
  EXPECT_EQ(people.records_[people.records_.size() - 2].reason, "label=\"x; role=admin\"");
}

TEST(People, DoNotRaiseDisableOrRemoveThemselves) {
  ScratchPeople people;
  people.created(kAlice);
  Actor alice = people.admin();
  alice.operator_id = "alice";
  EXPECT_EQ(people.people_->change(alice, kAlice, {.role = Role::auditor}).error().code,
            Code::permission_denied);
  EXPECT_EQ(people.people_->change(alice, kAlice, {.disabled = true}).error().code,
            Code::permission_denied);
  EXPECT_EQ(people.people_->remove(alice, kAlice).error().code, Code::permission_denied);
  EXPECT_TRUE(people.people_->change(alice, kAlice, {.label = "me"}));
  EXPECT_TRUE(people.people_->change(people.admin(), kAlice, {.role = Role::auditor}));
}

TEST(People, LoseTheirSessionsWithWhatTheyRestedOn) {
  const std::vector<std::function<Result<>(ScratchPeople&)>> ends{
      [](ScratchPeople& people) -> Result<> {
        TRY(const auto done, people.people_->change(people.admin(), kAlice, {.disabled = true}));
        return {};
      },
      [](ScratchPeople& people) -> Result<> {
        TRY(const auto done,
            people.people_->change(people.admin(), kAlice, {.role = Role::auditor}));
        return {};
      },
      [](ScratchPeople& people) -> Result<> {
        TRY(const auto done, people.people_->reset_password(people.admin(), kAlice));
        return {};
      },
      [](ScratchPeople& people) -> Result<> {
        TRY(const auto done, people.people_->sign_out(people.admin(), kAlice));
        EXPECT_EQ(done, 1U);
        return {};
      },
      [](ScratchPeople& people) { return people.people_->remove(people.admin(), kAlice); }};
  for (std::size_t i = 0; i < ends.size(); ++i) {
    ScratchPeople people;
    people.created(kAlice);
    const auto session = people.sessions_->open(TenantId("default"), ClientId("alice"), Role::admin,
                                                {.address = "a"}, kTestNowMs);
    ASSERT_TRUE(session);
    const auto label = people.people_->change(people.admin(), kAlice, {.label = "still here"});
    EXPECT_TRUE(people.sessions_->still_open(session->info.id, kTestNowMs));
    const auto ended = ends[i](people);
    EXPECT_TRUE(ended) << ended.error().message;
    EXPECT_FALSE(people.sessions_->still_open(session->info.id, kTestNowMs)) << i;
  }
}

TEST(People, WhoseRowsWereAlteredAreNobody) {
  const std::vector<std::function<void(store::PersonRow&)>> edits{
      [](auto& row) { row.role = "admin"; },
      [](auto& row) { ++row.role_ms; },
      [](auto& row) { row.label = "x"; },
      [](auto& row) { row.password_hash += "x"; },
      [](auto& row) { row.must_change = false; },
      [](auto& row) { ++row.created_ms; },
      [](auto& row) { ++row.password_ms; },
      [](auto& row) { row.disabled_ms = 1; },
      [](auto& row) { ++row.failures; },
      [](auto& row) { ++row.locked_until_ms; },
      [](auto& row) { row.row_mac[0] = row.row_mac[0] == '0' ? '1' : '0'; }};
  for (std::size_t i = 0; i < edits.size(); ++i) {
    ScratchPeople people;
    const std::string password = people.created(kAlice, Role::user);
    store::PeopleTable table(*people.database_);
    store::PersonRow row = **table.find("default", "alice");
    edits[i](row);
    ASSERT_TRUE(table.update(row));
    EXPECT_EQ(people.people_->show(people.admin(), kAlice).error().code, Code::corrupt) << i;
    EXPECT_EQ(people.tried({.who = kAlice, .password = password, .code = "123456"}), "corrupt");
    const auto list = people.people_->list(people.admin());
    ASSERT_TRUE(list);
    EXPECT_FALSE(list->front().intact);
    EXPECT_TRUE(people.people_->remove(people.admin(), kAlice)) << "one can get rid of it";
  }
}

TEST(People, DoNotTradeRows) {
  ScratchPeople people;
  people.created(kAlice, Role::admin);
  people.created(kBob, Role::user);
  store::PeopleTable table(*people.database_);
  store::PersonRow row = **table.find("default", "alice");
  row.tenant = kBob.tenant;
  row.name = kBob.name;
  ASSERT_TRUE(table.update(row));
  EXPECT_EQ(people.people_->show(people.admin(), kBob).error().code, Code::corrupt);
}

TEST(Passwords, AreLongAndNotTheName) {
  const auto code_of = [](std::string_view password) {
    const auto checked = check_password("new_password", "alice", Secret::copy_of(password));
    return checked ? "ok" : checked.error().message.starts_with("new_password: ") ? "refused" : "?";
  };
  EXPECT_EQ(code_of("eleven char"), std::string("refused"));
  EXPECT_EQ(code_of("twelve chars"), std::string("ok"));
  EXPECT_EQ(code_of(std::string(256, 'a') + "b"), std::string("refused"));
  EXPECT_EQ(code_of("alice in wonderland"), std::string("refused"));
  EXPECT_EQ(code_of("aaaaaaaaaaaaaaaa"), std::string("refused"));
  EXPECT_EQ(code_of("\xE5\xAF\x86\xE7\xA0\x81\xE5\xBE\x88\xE9\x95\xBF"), std::string("ok"));
  EXPECT_EQ(code_of(""), std::string("refused"));
}

}  // namespace
}  // namespace deepmoat::identity
