// One key takes another's place: when the old one ends, what goes over, what a failure leaves.
#include "identity/key_rotation.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

using audit::Outcome;

const FactorOwner kApp{.tenant = "acme", .client_id = "app"};

// A key of kApp with a second factor.
struct Rotating : ScratchKeys {
  Rotating() : secret(enrolled(kApp)), first(make("app", Role::operator_, "acme")) {
    records_.clear();
  }

  RotatedKey rotate(std::string_view shown) {
    RotatedKey made;
    EXPECT_EQ(rotated(shown, code_of(secret), &made), "ok");
    clock_.advance_ms(crypto::kOtpStepMs);  // for the next code
    return made;
  }
  std::string_view shown() const { return first.shown.reveal(); }
  Result<> retire(const KeyId& successor) {
    return rotation_->retire_predecessor(admin(), successor);
  }
  store::KeyRow row(const KeyId& key_id) const { return *database_->find_key(key_id.value()); }

  std::string secret;
  CreatedKey first;
};

TEST(KeyRotation, HandsEverythingOver) {
  Rotating keys;
  const auto bound = keys.service_->change(keys.admin(), keys.first.info.key_id.value(),
                                           KeyChange{.label = "shop",
                                                     .models = {{"demo"}},
                                                     .adapter = "poet",
                                                     .adapter_only = true,
                                                     .ip_ranges = {{"10.0.0.0/8"}},
                                                     .data_class = "sensitive",
                                                     .scopes = {{"call_models"}},
                                                     .requests_per_minute = 6,
                                                     .tokens_per_minute = 7,
                                                     .concurrent_calls = 8});
  ASSERT_TRUE(bound) << bound.error().message;
  keys.address_ = "10.0.0.1";
  keys.clock_.advance_ms(80 * kDayMs);
  const UnixMillis now_ms = keys.clock_.unix_ms();
  const RotatedKey made = keys.rotate(keys.shown());
  const KeyInfo& next = made.successor.info;
  EXPECT_EQ(next.expires_ms, now_ms + 90 * kDayMs);
  EXPECT_EQ(next.created_ms, now_ms);
  EXPECT_EQ(next.predecessor, keys.first.info.key_id);
  EXPECT_EQ(made.predecessor.key_id, keys.first.info.key_id);
  EXPECT_EQ(made.predecessor.overlap_until_ms, now_ms + kDayMs);
  const auto principal = keys.authenticator_.authenticate(made.successor.shown.reveal(),
                                                          keys.clock_.unix_ms(), "10.0.0.1");
  ASSERT_TRUE(principal);
  EXPECT_EQ(principal->client_id, ClientId("app"));
  EXPECT_EQ(principal->tenant, TenantId("acme"));
  EXPECT_EQ(principal->role, Role::operator_);
  EXPECT_EQ(principal->kind, KeyKind::ops);
  EXPECT_EQ(principal->lineage, keys.first.info.key_id);
  store::KeyRow expected = keys.row(keys.first.info.key_id);
  const store::KeyRow row = keys.row(next.key_id);
  expected.key_id = row.key_id;
  expected.lookup = row.lookup;
  expected.created_ms = row.created_ms;
  expected.expires_ms = row.expires_ms;
  expected.predecessor = keys.first.info.key_id.value();
  expected.lineage = keys.first.info.key_id.value();
  expected.overlap_until_ms = 0;
  expected.row_mac = row.row_mac;
  EXPECT_EQ(row, expected);
}

TEST(KeyRotation, KeepsTheLineOverManyRotations) {
  Rotating keys;
  std::string shown(keys.shown());
  for (int i = 0; i < 4; ++i) {
    const RotatedKey made = keys.rotate(shown);
    shown = made.successor.shown.reveal();
    const auto principal = keys.authenticator_.authenticate(shown, keys.clock_.unix_ms());
    ASSERT_TRUE(principal);
    EXPECT_EQ(principal->lineage, keys.first.info.key_id);
    EXPECT_EQ(principal->replaced, made.predecessor.key_id);
  }
}

TEST(KeyRotation, EndsTheOldKeyWithTheFirstUseOfTheNewOne) {
  Rotating keys;
  const RotatedKey made = keys.rotate(keys.shown());
  const std::string_view next = made.successor.shown.reveal();
  EXPECT_EQ(keys.tried(keys.shown()), "ok");
  const auto first = keys.authenticator_.authenticate(next, keys.clock_.unix_ms());
  ASSERT_TRUE(first);
  EXPECT_EQ(first->replaced, keys.first.info.key_id);
  EXPECT_EQ(keys.tried(keys.shown()), "key_replaced") << "at once, before anything is written";
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(keys.secret)), "key_replaced");
  const auto second = keys.authenticator_.authenticate(next, keys.clock_.unix_ms());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->replaced, KeyId()) << "one call alone writes it down";
  EXPECT_TRUE(keys.authenticator_.still_valid(keys.first.info.key_id, keys.clock_.unix_ms()))
      << "a call that runs goes on";
  keys.make("other");  // a new snapshot
  EXPECT_EQ(keys.tried(keys.shown()), "key_replaced");
}

TEST(KeyRotation, WritesTheEndDown) {
  Rotating keys;
  const RotatedKey made = keys.rotate(keys.shown());
  const KeyId next = made.successor.info.key_id;
  EXPECT_EQ(keys.tried(made.successor.shown.reveal()), "ok");
  keys.records_.clear();
  ASSERT_TRUE(keys.retire(next));
  ASSERT_EQ(keys.records_.size(), 2U);
  EXPECT_EQ(keys.records_[1].action, "key.replace");
  EXPECT_EQ(keys.records_[1].resource, keys.first.info.key_id.value());
  EXPECT_EQ(keys.records_[1].outcome, Outcome::success);
  ASSERT_TRUE(keys.retire(next));
  EXPECT_EQ(keys.records_.size(), 2U) << "nothing is left to do";
  EXPECT_EQ(keys.service_->show(keys.admin(), keys.first.info.key_id.value())->state,
            KeyState::replaced);
  Authenticator after_restart(keys.authority_);
  EXPECT_EQ(after_restart.replace(*keys.database_->list_keys()), 0U);
  // A clock that was set back to the day on which the first key was made.
  const auto old = after_restart.authenticate(keys.shown(), kTestNowMs);
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().kind, AuthFailureKind::replaced);
  const auto again = after_restart.authenticate(made.successor.shown.reveal(), kTestNowMs);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->replaced, KeyId()) << "it is written down already";
}

TEST(KeyRotation, EndsTheOldKeyAfterADay) {
  Rotating keys;
  const UnixMillis rotated_ms = keys.clock_.unix_ms();
  const RotatedKey made = keys.rotate(keys.shown());
  const auto overlapping = keys.authenticator_.authenticate(keys.shown(), rotated_ms);
  ASSERT_TRUE(overlapping);
  EXPECT_EQ(overlapping->expires_ms, rotated_ms + kDayMs) << "which the caller is told";
  keys.clock_.advance_ms(rotated_ms + kDayMs - 1 - keys.clock_.unix_ms());
  EXPECT_EQ(keys.tried(keys.shown()), "ok");
  keys.clock_.advance_ms(1);
  EXPECT_EQ(keys.tried(keys.shown()), "key_replaced");
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(keys.secret)), "key_replaced");
  EXPECT_EQ(keys.tried(made.successor.shown.reveal()), "ok");
}

TEST(KeyRotation, MayBeRepeatedWhenTheAnswerGotLost) {
  Rotating keys;
  const RotatedKey lost = keys.rotate(keys.shown());
  keys.clock_.advance_ms(3'600'000);
  const RotatedKey made = keys.rotate(keys.shown());
  EXPECT_EQ(keys.tried(lost.successor.shown.reveal()), "key_revoked");
  EXPECT_EQ(made.predecessor.overlap_until_ms, lost.predecessor.overlap_until_ms) << "no longer";
  EXPECT_EQ(keys.tried(keys.shown()), "ok");
  EXPECT_EQ(keys.tried(made.successor.shown.reveal()), "ok");
  EXPECT_EQ(keys.tried(keys.shown()), "key_replaced");
}

TEST(KeyRotation, LetsAKeyPastItsEndRotateForTwoWeeksAndDoNothingElse) {
  Rotating keys;
  keys.clock_.advance_ms(90 * kDayMs - (keys.clock_.unix_ms() - kTestNowMs));
  EXPECT_EQ(keys.tried(keys.shown()), "key_expired");
  keys.clock_.advance_ms(kRotationGraceMs - 1);
  EXPECT_EQ(keys.tried(keys.shown()), "key_expired");
  RotatedKey made;
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(keys.secret), &made), "ok");
  EXPECT_EQ(made.predecessor.overlap_until_ms, keys.clock_.unix_ms() + 1) << "the two weeks' end";
  EXPECT_EQ(keys.tried(keys.shown()), "key_expired") << "rotating does not revive it";
  EXPECT_EQ(keys.tried(made.successor.shown.reveal()), "ok");
  const CreatedKey other = keys.make("app", Role::operator_, "acme");
  keys.clock_.advance_ms(90 * kDayMs + kRotationGraceMs);
  EXPECT_EQ(keys.rotated(other.shown.reveal(), keys.code_of(keys.secret)), "key_expired");
}

TEST(KeyRotation, NeedsTheRightCodeOfItsOwnClient) {
  Rotating keys;
  const std::string stranger = keys.enrolled({.tenant = "default", .client_id = "app"});
  const std::size_t rows = keys.database_->list_keys()->size();
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(stranger)), "permission_denied");
  EXPECT_EQ(keys.rotated(keys.shown(), ""), "invalid_argument");
  EXPECT_EQ(keys.rotated(keys.shown(), " " + keys.code_of(keys.secret)), "invalid_argument");
  EXPECT_EQ(keys.rotated(keys.make("nobody").shown.reveal(), "123456"), "not_found");
  EXPECT_EQ(keys.database_->list_keys()->size(), rows + 1);
  EXPECT_EQ(keys.row(keys.first.info.key_id).overlap_until_ms, 0);
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(keys.secret)), "ok");
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(keys.secret)), "permission_denied") << "used";
}

TEST(KeyRotation, RefusesARevokedKey) {
  Rotating keys;
  ASSERT_TRUE(keys.service_->revoke(keys.admin(), keys.first.info.key_id.value(), "leaked"));
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(keys.secret)), "key_revoked");
  const auto direct = keys.rotation_->rotate(keys.admin(), keys.first.info.key_id,
                                             keys.code_of(keys.secret), kKeyLifetimeMaxS);
  ASSERT_FALSE(direct) << "revoked after it proved itself";
  EXPECT_EQ(direct.error().code, Code::unauthenticated);
}

TEST(KeyRotation, IsOnRecordAndNotDoneWithoutARecord) {
  Rotating keys;
  keys.appends_left_ = 0;
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(keys.secret)), "unavailable");
  EXPECT_EQ(keys.row(keys.first.info.key_id).overlap_until_ms, 0);
  keys.appends_left_.reset();
  const RotatedKey made = keys.rotate(keys.shown());
  ASSERT_EQ(keys.records_.size(), 2U);
  EXPECT_EQ(keys.records_[0].action, "key.rotate");
  EXPECT_EQ(keys.records_[0].resource, keys.first.info.key_id.value());
  EXPECT_EQ(keys.records_[1].resource, made.successor.info.key_id.value());
  EXPECT_EQ(keys.records_[1].operator_id, "app");
  EXPECT_EQ(keys.rotated(keys.shown(), "000000"), "permission_denied");
  EXPECT_EQ(keys.records_.back().outcome, Outcome::refused);
}

TEST(KeyRotation, ShowsNothingWithoutTheResultAndMayBeRepeated) {
  Rotating keys;
  keys.appends_left_ = 1;
  EXPECT_EQ(keys.rotated(keys.shown(), keys.code_of(keys.secret)), "unavailable");
  keys.appends_left_.reset();
  keys.clock_.advance_ms(crypto::kOtpStepMs);
  const RotatedKey made = keys.rotate(keys.shown());
  EXPECT_EQ(keys.tried(made.successor.shown.reveal()), "ok");
  int living = 0;
  const auto listed = keys.service_->list(keys.admin());
  for (const KeyInfo& key : *listed) {
    living += key.predecessor == keys.first.info.key_id && key.state == KeyState::active ? 1 : 0;
  }
  EXPECT_EQ(living, 1);
}

TEST(KeyRotation, NeverRotatesAForgedRow) {
  Rotating keys;
  const RotatedKey made = keys.rotate(keys.shown());
  const std::vector<std::function<void(store::KeyRow&)>> edits{
      [](store::KeyRow& row) { row.predecessor.clear(); },
      [](store::KeyRow& row) { row.predecessor += "0"; },
      [](store::KeyRow& row) { row.lineage.clear(); },
      [](store::KeyRow& row) { row.lineage = row.key_id; },
      [](store::KeyRow& row) { row.overlap_until_ms = 1; },
      [](store::KeyRow& row) { std::swap(row.predecessor, row.revoke_reason); }};
  const store::KeyRow good = keys.row(made.successor.info.key_id);
  for (std::size_t i = 0; i < edits.size(); ++i) {
    store::KeyRow edited = good;
    edits[i](edited);
    ASSERT_TRUE(keys.database_->update_key(edited));
    keys.restart();
    EXPECT_EQ(keys.service_->corrupt_rows(), 1U) << i;
    EXPECT_EQ(keys.tried(made.successor.shown.reveal()), "invalid_api_key") << i;
    const auto refused = keys.rotation_->rotate(keys.admin(), made.successor.info.key_id,
                                                keys.code_of(keys.secret), kKeyLifetimeMaxS);
    EXPECT_EQ(refused.error().code, Code::corrupt) << i;
  }
  store::KeyRow longer = keys.row(keys.first.info.key_id);
  longer.overlap_until_ms = 0;
  ASSERT_TRUE(keys.database_->update_key(longer));
  keys.restart();
  EXPECT_EQ(keys.service_->corrupt_rows(), 2U) << "nobody gives a rotated key its life back";
}

// The MAC of a row as the first form of the table had it, computed then.
TEST(KeyRotation, LeavesTheMacOfOlderRowsAsItWas) {
  store::KeyRow row{.key_id = "key_000102030405060708090a0b",
                    .lookup = std::string(64, 'c'),
                    .client_id = "app",
                    .kind = "live",
                    .role = "user",
                    .tenant = "default",
                    .label = "shop",
                    .created_ms = 1'795'000'000'123,
                    .expires_ms = 1'802'776'000'123,
                    .revoked_ms = 0,
                    .revoke_reason = "",
                    .predecessor = "",
                    .lineage = "",
                    .overlap_until_ms = 0,
                    .row_mac = ""};
  const KeyAuthority authority(test_secrets());
  EXPECT_EQ(authority.row_mac(row),
            "10020a8ff3a5fda8c6d2df81abb3569f314157e9071a65122c51fb9c34f5a45b");
}

// Many threads use both keys while snapshots change: whoever sees the new key succeed first is the
// only one told so, and afterwards the old one never succeeds.
TEST(KeyRotation, EndsTheOldKeyForAllThreadsAtOnce) {
  Rotating keys;
  const RotatedKey made = keys.rotate(keys.shown());
  const std::string next(made.successor.shown.reveal());
  const std::string old(keys.shown());
  const UnixMillis now_ms = keys.clock_.unix_ms();
  const std::vector<store::KeyRow> rows = *keys.database_->list_keys();
  std::atomic<int> told = 0;
  std::atomic<int> revived = 0;
  std::atomic<bool> end = false;
  std::vector<std::jthread> threads;
  threads.emplace_back([&] {
    while (!end.load()) {
      keys.authenticator_.replace(rows);
    }
  });
  std::vector<std::jthread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&, i] {
      for (int call = 0; call < 2'000; ++call) {
        if (i == 0 || call > 500) {
          const auto used = keys.authenticator_.authenticate(next, now_ms);
          told += used && !used->replaced.value().empty() ? 1 : 0;
          revived += keys.authenticator_.authenticate(old, now_ms) ? 1 : 0;
        } else {
          (void)keys.authenticator_.authenticate(old, now_ms);
        }
      }
    });
  }
  callers.clear();
  end.store(true);
  threads.clear();
  EXPECT_EQ(told.load(), 1);
  EXPECT_EQ(revived.load(), 0);
}

}  // namespace
}  // namespace deepmoat::identity
