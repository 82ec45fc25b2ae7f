// Sessions: short, bound to their place, ended at will.
#include "identity/sessions.h"

#include <gtest/gtest.h>

#include <thread>

namespace deepmoat::identity {
namespace {

constexpr UnixMillis kNowMs = 1'795'000'000'123;
constexpr std::int64_t kMinuteMs = 60'000;
const TenantId kHome{"default"};
const ClientId kAlice{"alice"};
const SessionPlace kDesk{.address = "192.0.2.1", .fingerprint = ""};

OpenedSession opened(Sessions& sessions, UnixMillis now_ms = kNowMs, SessionPlace place = kDesk,
                     const ClientId& name = kAlice, Role role = Role::admin) {
  auto session = sessions.open(kHome, name, role, std::move(place), now_ms);
  EXPECT_TRUE(session) << session.error().message;
  return *std::move(session);
}

bool lets_in(Sessions& sessions, const OpenedSession& session, UnixMillis now_ms,
             const SessionPlace& place = kDesk) {
  return sessions.find(session.token.reveal(), place, now_ms).has_value();
}

TEST(Sessions, StandForAPersonWithHisRole) {
  Sessions sessions;
  const OpenedSession session = opened(sessions);
  EXPECT_TRUE(is_session_token(session.token.reveal()));
  EXPECT_EQ(session.token.size(), 4U + 64U);
  EXPECT_TRUE(is_session(session.info.id));
  EXPECT_FALSE(is_session(KeyId("key_00000000000000000000dead")));
  const auto principal = sessions.find(session.token.reveal(), kDesk, kNowMs);
  ASSERT_TRUE(principal);
  EXPECT_EQ(principal->client_id, kAlice);
  EXPECT_EQ(principal->tenant, kHome);
  EXPECT_EQ(principal->role, Role::admin);
  EXPECT_EQ(principal->key_id, session.info.id);
  for (const Permission permission : kPermissions) {
    EXPECT_EQ(principal->may(permission),
              allowed(Role::admin, permission) && permission != Permission::rotate_own_key);
  }
  const auto again = sessions.find(opened(sessions).token.reveal(), kDesk, kNowMs);
  EXPECT_EQ(principal->account(), again->account()) << "limits are the person's";
  EXPECT_NE(principal->key_id, again->key_id);
}

TEST(Sessions, AreFoundByNothingButTheirToken) {
  Sessions sessions;
  const OpenedSession session = opened(sessions);
  std::string token(session.token.reveal());
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string typo = token;
    typo[i] = typo[i] == '0' ? '1' : '0';
    EXPECT_FALSE(sessions.find(typo, kDesk, kNowMs)) << i;
  }
  for (const std::string& other : {std::string(), std::string("dms_"), token + "0", token.substr(1),
                                   std::string(session.info.id.value())}) {
    EXPECT_FALSE(sessions.find(other, kDesk, kNowMs)) << other;
  }
  EXPECT_TRUE(lets_in(sessions, session, kNowMs));
}

TEST(Sessions, EndWhenNobodyCallsAndAtTheLatestAfterTheirLifetime) {
  Sessions sessions({.idle_ms = 15 * kMinuteMs, .lifetime_ms = 60 * kMinuteMs});
  const OpenedSession idle = opened(sessions);
  EXPECT_FALSE(lets_in(sessions, idle, kNowMs + 15 * kMinuteMs));
  EXPECT_FALSE(lets_in(sessions, idle, kNowMs)) << "and no clock that is set back revives it";
  const OpenedSession busy = opened(sessions);
  for (int minute = 10; minute < 60; minute += 10) {
    EXPECT_TRUE(lets_in(sessions, busy, kNowMs + minute * kMinuteMs)) << minute;
  }
  EXPECT_TRUE(sessions.still_open(busy.info.id, kNowMs + 59 * kMinuteMs));
  EXPECT_FALSE(sessions.still_open(busy.info.id, kNowMs + 60 * kMinuteMs));
  EXPECT_FALSE(lets_in(sessions, busy, kNowMs + 60 * kMinuteMs));
}

TEST(Sessions, AreNotIdleWhileAnAnswerRuns) {
  Sessions sessions({.idle_ms = 15 * kMinuteMs, .lifetime_ms = 60 * kMinuteMs});
  const OpenedSession session = opened(sessions);
  for (int minute = 10; minute < 60; minute += 10) {
    EXPECT_TRUE(sessions.still_open(session.info.id, kNowMs + minute * kMinuteMs)) << minute;
  }
  EXPECT_TRUE(lets_in(sessions, session, kNowMs + 59 * kMinuteMs));
  EXPECT_FALSE(sessions.still_open(session.info.id, kNowMs + 60 * kMinuteMs));
}

TEST(Sessions, EndWithTheCertificateThatOpenedThem) {
  Sessions sessions;
  const SessionPlace certified{.address = "192.0.2.1", .fingerprint = "AB:CD"};
  const OpenedSession by_password = opened(sessions);
  const OpenedSession by_certificate = opened(sessions, kNowMs, certified);
  EXPECT_EQ(sessions.end_all_with("AB:CD"), 1U);
  EXPECT_FALSE(lets_in(sessions, by_certificate, kNowMs, certified));
  EXPECT_TRUE(lets_in(sessions, by_password, kNowMs));
}

TEST(Sessions, AreOfThePlaceThatTheyWereOpenedFrom) {
  Sessions sessions;
  const OpenedSession session = opened(sessions);
  EXPECT_FALSE(lets_in(sessions, session, kNowMs, {.address = "192.0.2.2", .fingerprint = ""}));
  EXPECT_TRUE(lets_in(sessions, session, kNowMs, {.address = "192.0.2.1", .fingerprint = "AB"}));
  const SessionPlace certified{.address = "192.0.2.1", .fingerprint = "AB:CD"};
  const OpenedSession bound = opened(sessions, kNowMs, certified);
  EXPECT_TRUE(lets_in(sessions, bound, kNowMs, certified));
  EXPECT_FALSE(lets_in(sessions, bound, kNowMs, kDesk)) << "the token without the certificate";
  EXPECT_FALSE(lets_in(sessions, bound, kNowMs, {.address = "192.0.2.1", .fingerprint = "EF"}));
  EXPECT_TRUE(lets_in(sessions, session, kNowMs)) << "a stranger's try ends nobody's session";
}

TEST(Sessions, AreEndedByIdAndByPerson) {
  Sessions sessions;
  const OpenedSession first = opened(sessions);
  const OpenedSession second = opened(sessions, kNowMs + 1);
  const OpenedSession other = opened(sessions, kNowMs + 2, kDesk, ClientId("bob"), Role::auditor);
  EXPECT_EQ(sessions.list(kNowMs + 2).size(), 3U);
  EXPECT_EQ(sessions.list(kNowMs + 2).front().id, first.info.id) << "oldest first";
  EXPECT_TRUE(sessions.end(first.info.id));
  EXPECT_FALSE(sessions.end(first.info.id));
  EXPECT_FALSE(lets_in(sessions, first, kNowMs));
  EXPECT_EQ(sessions.end_all_of(TenantId("acme"), kAlice), 0U) << "her namesake elsewhere";
  EXPECT_EQ(sessions.end_all_of(kHome, kAlice), 1U);
  EXPECT_FALSE(lets_in(sessions, second, kNowMs));
  EXPECT_TRUE(lets_in(sessions, other, kNowMs));
  EXPECT_FALSE(sessions.show(second.info.id, kNowMs));
  EXPECT_EQ(sessions.show(other.info.id, kNowMs)->role, Role::auditor);
}

TEST(Sessions, AreBoundedInNumber) {
  Sessions sessions({.per_person_max = 2, .sessions_max = 3});
  const OpenedSession first = opened(sessions);
  const OpenedSession second = opened(sessions, kNowMs + 1);
  const OpenedSession third = opened(sessions, kNowMs + 2);
  EXPECT_FALSE(lets_in(sessions, first, kNowMs + 2)) << "the oldest makes room";
  EXPECT_TRUE(lets_in(sessions, second, kNowMs + 2));
  opened(sessions, kNowMs + 3, kDesk, ClientId("bob"));
  const auto full = sessions.open(kHome, ClientId("carol"), Role::user, kDesk, kNowMs + 3);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::resource_exhausted);
  EXPECT_TRUE(sessions.open(kHome, ClientId("carol"), Role::user, kDesk, kNowMs + 86'400'000))
      << "those that have ended make room";
}

TEST(Sessions, MayBeUsedByManyThreads) {
  Sessions sessions;
  const OpenedSession session = opened(sessions);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) {
          EXPECT_TRUE(lets_in(sessions, session, kNowMs + i));
          const OpenedSession own =
              opened(sessions, kNowMs, kDesk, ClientId("person-" + std::to_string(t)));
          EXPECT_TRUE(sessions.still_open(own.info.id, kNowMs));
          sessions.end(own.info.id);
        }
      });
    }
  }
  EXPECT_EQ(sessions.list(kNowMs + 200).size(), 1U);
}

}  // namespace
}  // namespace deepmoat::identity
