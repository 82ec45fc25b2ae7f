// Who gets a session: nobody learns more from a refusal than that it is one.
#include "identity/sign_in.h"

#include <gtest/gtest.h>

#include <set>

#include "identity/scratch_people.h"

namespace deepmoat::identity {
namespace {

const PersonName kAlice{.tenant = "default", .name = "alice"};
const FactorOwner kAlicesFactor{.tenant = "default", .client_id = "alice"};
constexpr std::string_view kChosen = "correct horse battery";
constexpr std::int64_t kStepMs = crypto::kOtpStepMs;

class SignInTest : public testing::Test {
 protected:
  SignInTest() {
    given_ = people_.created(kAlice);
    secret_ = people_.enrolled(kAlicesFactor);
  }

  // The code that the device shows now, which nobody has used.
  std::string next_code() {
    people_.clock_.advance_ms(kStepMs);
    return people_.code_of(secret_);
  }
  // As somebody who has chosen a password.
  void settle_in() {
    ASSERT_EQ(people_.tried({.who = kAlice,
                             .password = given_,
                             .code = next_code(),
                             .new_password = std::string(kChosen)}),
              "ok");
  }
  std::string tried(const std::string& password, const std::string& code) {
    return people_.tried({.who = kAlice, .password = password, .code = code});
  }
  const audit::Record& last() { return people_.records_.back(); }

  ScratchPeople people_;
  std::string given_;
  std::string secret_;
};

TEST_F(SignInTest, WantsTheFirstPasswordChanged) {
  const std::string code = next_code();
  EXPECT_EQ(tried(given_, code), "permission_denied");
  EXPECT_EQ(last().reason, "password_change_required");
  const auto session = people_.sign_in({.who = kAlice,
                                        .password = given_,
                                        .code = code,  // not used up
                                        .new_password = std::string(kChosen)});
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(session->info.role, Role::admin);
  EXPECT_EQ(session->info.place.address, "192.0.2.1");
  EXPECT_EQ(last().action, "session.open");
  EXPECT_EQ(last().operator_id, "alice");
  EXPECT_EQ(last().authentication, "password_and_otp");
  EXPECT_EQ(last().resource, session->info.id.value());
  EXPECT_EQ(last().outcome, audit::Outcome::success);
  EXPECT_EQ(tried(given_, next_code()), "unauthenticated") << "the first one is gone";
  EXPECT_EQ(tried(std::string(kChosen), next_code()), "ok");
  EXPECT_FALSE(people_.people_->show(people_.admin(), kAlice)->must_change);
}

TEST_F(SignInTest, SaysTheSameWhateverWasWrong) {
  settle_in();
  const std::string chosen(kChosen);
  std::set<std::string> messages;
  const auto refusal = [&](const ScratchPeople::Try& tried, const std::string& why) {
    const auto session = people_.sign_in(tried);
    ASSERT_FALSE(session) << why;
    EXPECT_EQ(session.error().code, Code::unauthenticated) << why;
    EXPECT_EQ(last().reason, why);
    EXPECT_EQ(last().outcome, audit::Outcome::refused);
    messages.insert(session.error().message);
  };
  refusal({.who = kAlice, .password = "wrong password", .code = next_code()}, "wrong_password");
  refusal({.who = kAlice, .password = chosen, .code = people_.code_of(secret_, 7)},
          "wrong_one_time_password");
  refusal({.who = {.name = "nobody"}, .password = chosen, .code = next_code()}, "unknown_person");
  refusal({.who = {.tenant = "acme", .name = "alice"}, .password = chosen, .code = next_code()},
          "unknown_person");
  const std::string used = next_code();
  EXPECT_EQ(tried(chosen, used), "ok");
  refusal({.who = kAlice, .password = chosen, .code = used}, "wrong_one_time_password");
  ASSERT_TRUE(people_.people_->change(people_.admin(), kAlice, {.disabled = true}));
  refusal({.who = kAlice, .password = chosen, .code = next_code()}, "disabled");
  EXPECT_EQ(messages.size(), 1U);
}

TEST_F(SignInTest, LocksAfterFiveWrongPasswordsAcrossRestarts) {
  settle_in();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(tried("wrong password " + std::to_string(i), "123456"), "unauthenticated");
    people_.restart();
  }
  EXPECT_EQ(tried(std::string(kChosen), next_code()), "unauthenticated");
  EXPECT_EQ(last().reason, "locked");
  EXPECT_NE(people_.people_->show(people_.admin(), kAlice)->locked_until_ms, 0);
  people_.clock_.advance_ms(kPasswordLockMs - 3 * kStepMs);
  EXPECT_EQ(tried(std::string(kChosen), next_code()), "unauthenticated") << "a step too early";
  EXPECT_EQ(tried(std::string(kChosen), next_code()), "ok");
}

TEST_F(SignInTest, CountsFailuresInARowOnly) {
  settle_in();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(tried("wrong password", "123456"), "unauthenticated");
    }
    EXPECT_EQ(tried(std::string(kChosen), next_code()), "ok") << round;
  }
}

TEST_F(SignInTest, LocksAfterFiveWrongOneTimePasswords) {
  settle_in();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(tried(std::string(kChosen), people_.code_of(secret_, 100 + i)), "unauthenticated");
  }
  EXPECT_EQ(tried(std::string(kChosen), next_code()), "unauthenticated");
  EXPECT_EQ(last().reason, "second_factor_locked");
}

TEST_F(SignInTest, TakesARecoveryCodeOnce) {
  settle_in();
  const std::string recovery = people_.recovery_codes_.front();
  EXPECT_EQ(tried(std::string(kChosen), recovery), "ok");
  EXPECT_EQ(tried(std::string(kChosen), recovery), "unauthenticated");
}

TEST_F(SignInTest, NeedsASecondFactor) {
  const PersonName bob{.tenant = "default", .name = "bob"};
  const std::string given = people_.created(bob, Role::operator_);
  const auto session = people_.sign_in(
      {.who = bob, .password = given, .code = "123456", .new_password = std::string(kChosen)});
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::not_found);
  EXPECT_EQ(last().reason, "second_factor_missing");
  EXPECT_TRUE(people_.people_->show(people_.admin(), bob)->must_change) << "nothing was changed";
}

TEST_F(SignInTest, RefusesBadFormBeforeAnythingIsLookedAt) {
  const std::size_t records = people_.records_.size();
  const auto field_of = [&](const ScratchPeople::Try& tried) {
    const auto session = people_.sign_in(tried);
    EXPECT_EQ(session.error().code, Code::invalid_argument);
    return session.error().message.substr(0, session.error().message.find(':'));
  };
  EXPECT_EQ(field_of({.who = {.name = "Alice"}, .password = "x", .code = "123456"}), "name");
  EXPECT_EQ(field_of({.who = {.tenant = "A", .name = "a"}, .password = "x", .code = "123456"}),
            "tenant");
  EXPECT_EQ(field_of({.who = kAlice, .password = "", .code = "123456"}), "password");
  EXPECT_EQ(field_of({.who = kAlice, .password = std::string(257, 'x'), .code = "123456"}),
            "password");
  EXPECT_EQ(field_of({.who = kAlice, .password = given_, .code = "12345"}), "one_time_password");
  EXPECT_EQ(
      field_of({.who = kAlice, .password = given_, .code = "123456", .new_password = "short"}),
      "new_password");
  EXPECT_EQ(field_of({.who = kAlice, .password = given_, .code = "123456", .new_password = given_}),
            "new_password");
  EXPECT_EQ(people_.records_.size(), records);
}

TEST_F(SignInTest, EndsOtherSessionsWithANewPassword) {
  settle_in();
  const auto before =
      people_.sign_in({.who = kAlice, .password = std::string(kChosen), .code = next_code()});
  ASSERT_TRUE(before);
  const auto after = people_.sign_in({.who = kAlice,
                                      .password = std::string(kChosen),
                                      .code = next_code(),
                                      .new_password = "another long password"});
  ASSERT_TRUE(after);
  const UnixMillis now_ms = people_.clock_.unix_ms();
  EXPECT_FALSE(people_.sessions_->still_open(before->info.id, now_ms));
  EXPECT_TRUE(people_.sessions_->still_open(after->info.id, now_ms));
}

TEST_F(SignInTest, OpensNoSessionWithoutTheLog) {
  settle_in();
  people_.appends_left_ = 0;
  EXPECT_EQ(tried(std::string(kChosen), next_code()), "unavailable");
  people_.appends_left_ = 1;  // the intent goes in, the result does not
  const std::size_t before = people_.sessions_->list(people_.clock_.unix_ms()).size();
  EXPECT_EQ(tried(std::string(kChosen), next_code()), "unavailable");
  EXPECT_EQ(people_.sessions_->list(people_.clock_.unix_ms()).size(), before);
}

TEST_F(SignInTest, TakesTheCertificateOfThePersonInItsPlace) {
  const CertifiedClient certified = people_.certify(kAlice);
  const auto session = people_.sign_in_with(kAlice, certified);
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(session->info.place.fingerprint, certified.fingerprint);
  EXPECT_EQ(last().authentication, "client_certificate");
  const auto refusal = [&](const PersonName& who, const CertifiedClient& shown,
                           bool enough = true) {
    const auto refused = people_.sign_in_with(who, shown, enough);
    EXPECT_EQ(refused.error().code, Code::unauthenticated);
    return last().reason;
  };
  const PersonName bob{.tenant = "default", .name = "bob"};
  people_.created(bob);
  EXPECT_EQ(refusal(bob, certified), "certificate_of_somebody_else");
  EXPECT_EQ(refusal({.name = "carol"}, people_.certify({.name = "carol"})), "unknown_person");
  EXPECT_EQ(refusal(kAlice, certified, false), "certificate_not_enough");
  const UnixMillis now_ms = people_.clock_.unix_ms();
  ASSERT_TRUE(people_.sessions_->still_open(session->info.id, now_ms));
  ASSERT_TRUE(people_.successors_->revoke(people_.admin(), certified.fingerprint));
  EXPECT_FALSE(people_.sessions_->still_open(session->info.id, now_ms)) << "it rested on it";
  EXPECT_EQ(refusal(kAlice, certified), "certificate_not_in_force");
}

// Who had it issued may have been allowed to for what the person was, or for nobody at all.
TEST_F(SignInTest, TakesNoCertificateFromBeforeTheRole) {
  const PersonName bob{.tenant = "default", .name = "bob"};
  const CertifiedClient early = people_.certify(bob);
  people_.clock_.advance_ms(1);
  people_.created(bob, Role::user);
  EXPECT_FALSE(people_.sign_in_with(bob, early));
  EXPECT_EQ(last().reason, "certificate_older_than_role");
  const CertifiedClient of_user = people_.certify(bob);
  EXPECT_TRUE(people_.sign_in_with(bob, of_user));
  people_.clock_.advance_ms(1);
  ASSERT_TRUE(people_.people_->change(people_.admin(), bob, {.role = Role::admin}));
  EXPECT_FALSE(people_.sign_in_with(bob, of_user));
  EXPECT_TRUE(people_.sign_in_with(bob, people_.certify(bob)));
}

TEST_F(SignInTest, GivesACertificateOfAPersonToNobodyWhoHasLess) {
  Actor narrow = people_.admin();
  narrow.narrowed_to = PermissionSet();
  narrow.narrowed_to->add(Permission::manage_keys);
  EXPECT_EQ(people_.successors_->issue(narrow, "default", "alice", 365).error().code,
            Code::permission_denied);
  EXPECT_TRUE(people_.successors_->issue(narrow, "default", "some-program", 365));
}

TEST_F(SignInTest, TakesAsLongForAWrongPasswordAndForSomebodyLocked) {
  settle_in();
  const auto attempt = [](const std::string& password) {
    return SignInAttempt{.who = kAlice,
                         .password = Secret::copy_of(password),
                         .one_time_password = "123456",
                         .new_password = Secret::copy_of("another long password"),
                         .address = "192.0.2.1",
                         .request_id = "req_5"};
  };
  const std::string real = *people_.sign_in_->begin(attempt("x"));
  const auto wrong = people_.sign_in_->prove(attempt("x"), real);
  EXPECT_FALSE(wrong->fits);
  EXPECT_FALSE(wrong->new_hash.empty()) << "two hashes, as for the right one";
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(tried("wrong password", "123456"), "unauthenticated");
  }
  const std::string while_locked = *people_.sign_in_->begin(attempt("x"));
  EXPECT_NE(while_locked, real);
  EXPECT_EQ(while_locked.size(), real.size());
  EXPECT_FALSE(people_.sign_in_->prove(attempt(std::string(kChosen)), while_locked)->fits)
      << "nobody learns while locked that a guess was right";
}

TEST_F(SignInTest, IsOverWhenThePersonSaysSo) {
  settle_in();
  const auto session =
      people_.sign_in({.who = kAlice, .password = std::string(kChosen), .code = next_code()});
  ASSERT_TRUE(session);
  EXPECT_TRUE(people_.sign_in_->sign_out(people_.admin(), session->info.id));
  EXPECT_EQ(last().action, "session.close");
  EXPECT_FALSE(people_.sessions_->still_open(session->info.id, people_.clock_.unix_ms()));
  EXPECT_EQ(people_.sign_in_->sign_out(people_.admin(), session->info.id).error().code,
            Code::not_found);
}

}  // namespace
}  // namespace deepmoat::identity
