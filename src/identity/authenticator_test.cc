// Who gets in, and who does not: right keys, wrong keys, forged rows, clocks that go back.
#include "identity/authenticator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "base/hex.h"
#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

TEST(Authenticator, KnowsWhoHoldsAKey) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("billing-app", Role::operator_, "acme");
  const auto principal = keys.authenticator_.authenticate(key.shown.reveal(), kTestNowMs);
  ASSERT_TRUE(principal);
  EXPECT_EQ(principal->key_id, key.info.key_id);
  EXPECT_EQ(principal->client_id, ClientId("billing-app"));
  EXPECT_EQ(principal->tenant, TenantId("acme"));
  EXPECT_EQ(principal->role, Role::operator_);
  EXPECT_EQ(principal->kind, KeyKind::ops);
  EXPECT_EQ(principal->expires_ms, kTestNowMs + 90 * kTestDayMs);
}

TEST(Authenticator, TellsTypingErrorsAndUnknownKeysApartFromNothing) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  std::string typo(key.shown.reveal());
  typo[20] = typo[20] == '0' ? '1' : '0';
  EXPECT_EQ(keys.tried(typo), "invalid_api_key");
  const auto stranger = KeyAuthority(test_secrets('x')).make_key(KeyKind::live, "app", kTestNowMs);
  EXPECT_EQ(keys.tried(stranger->reveal()), "invalid_api_key");
  const auto unstored = keys.authority_.make_key(KeyKind::live, "app", kTestNowMs);
  EXPECT_EQ(keys.tried(unstored->reveal()), "invalid_api_key") << "ours, but without a row";
  EXPECT_EQ(keys.tried(""), "invalid_api_key");
  EXPECT_EQ(failure_message(AuthFailureKind::malformed), failure_message(AuthFailureKind::unknown));
}

TEST(Authenticator, RefusesAKeyAsAnotherKind) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const std::string body(key.shown.reveal().substr(9, 64));
  for (const KeyKind kind : {KeyKind::ops, KeyKind::adm, KeyKind::aud}) {
    EXPECT_EQ(keys.tried(compose_key(kind, body).reveal()), "invalid_api_key");
  }
}

TEST(Authenticator, RefusesWellFormedGuesses) {
  ScratchKeys keys;
  keys.make("app");
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string body;
    for (std::size_t digit = 0; digit < kKeyBodyDigits; ++digit) {
      body += "0123456789abcdef"[random() % 16];
    }
    ASSERT_EQ(keys.tried(compose_key(KeyKind::live, body).reveal()), "invalid_api_key");
  }
}

TEST(Authenticator, AcceptsTheBareFormOnlyWhenConfigured) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app", Role::admin);
  const std::string body(key.shown.reveal().substr(8, 64));
  EXPECT_EQ(keys.tried(body), "invalid_api_key");
  Authenticator old_clients(keys.authority_, {.accept_bare_keys = true});
  EXPECT_EQ(old_clients.replace(*keys.database_->list_keys()), 0U);
  const auto principal = old_clients.authenticate(body, kTestNowMs);
  ASSERT_TRUE(principal);
  EXPECT_EQ(principal->role, Role::admin);
  EXPECT_TRUE(old_clients.authenticate(key.shown.reveal(), kTestNowMs));
  EXPECT_FALSE(old_clients.authenticate(std::string(64, '0'), kTestNowMs));
}

TEST(Authenticator, EndsAKeyAtItsTimeAndNeverRevivesIt) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const UnixMillis end = key.info.expires_ms;
  const Authenticator& authenticator = keys.authenticator_;
  EXPECT_TRUE(authenticator.authenticate(key.shown.reveal(), end - 1));
  const auto ended = authenticator.authenticate(key.shown.reveal(), end);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().kind, AuthFailureKind::expired);
  EXPECT_EQ(ended.error().key_id, key.info.key_id) << "proved, so the audit log may name it";
  const auto set_back = authenticator.authenticate(key.shown.reveal(), kTestNowMs);
  ASSERT_FALSE(set_back);
  EXPECT_EQ(set_back.error().kind, AuthFailureKind::expired);
  EXPECT_FALSE(authenticator.still_valid(key.info.key_id, kTestNowMs));
}

TEST(Authenticator, TakesTheTimeFromElsewhereToo) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  EXPECT_TRUE(keys.authenticator_.still_valid(key.info.key_id, kTestNowMs));
  keys.authenticator_.observe_time(key.info.expires_ms);
  EXPECT_EQ(keys.tried(key.shown.reveal()), "key_expired");
}

using Edit = std::function<void(store::KeyRow&)>;

// What somebody with the database file, and without the key file, could try.
TEST(Authenticator, LeavesOutForgedEditedAndCopiedRows) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const store::KeyRow good = *keys.database_->find_key(key.info.key_id.value());
  const std::vector<Edit> edits{
      [](store::KeyRow& row) { row.key_id = "key_000000000000000000000000"; },
      [](store::KeyRow& row) { row.lookup = std::string(64, 'a'); },
      [](store::KeyRow& row) { row.client_id = "other"; },
      [](store::KeyRow& row) { row.kind = "adm"; },
      [](store::KeyRow& row) { row.role = "admin"; },
      [](store::KeyRow& row) { row.tenant = "acme"; },
      [](store::KeyRow& row) { row.label = "x"; },
      [](store::KeyRow& row) { row.created_ms += 1; },
      [](store::KeyRow& row) { row.expires_ms += 1; },
      [](store::KeyRow& row) { row.revoked_ms = 1; },
      [](store::KeyRow& row) { row.revoke_reason = "x"; },
      [](store::KeyRow& row) { row.row_mac = std::string(64, '0'); },
      [](store::KeyRow& row) { row.row_mac.clear(); },
      // The same bytes in other fields.
      [](store::KeyRow& row) {
        row.client_id = "ap";
        row.kind = "plive";
      },
      [](store::KeyRow& row) { std::swap(row.created_ms, row.expires_ms); },
  };
  Authenticator authenticator(keys.authority_);
  const store::KeyRow rows[] = {good};
  ASSERT_EQ(authenticator.replace(rows), 0U);
  ASSERT_TRUE(authenticator.authenticate(key.shown.reveal(), kTestNowMs));
  for (std::size_t i = 0; i < edits.size(); ++i) {
    store::KeyRow edited[] = {good};
    edits[i](edited[0]);
    EXPECT_EQ(authenticator.replace(edited), 1U) << "edit " << i;
    EXPECT_FALSE(authenticator.authenticate(key.shown.reveal(), kTestNowMs)) << "edit " << i;
  }
}

TEST(Authenticator, RefusesAForgersOwnKeyWithARowOfHisMaking) {
  ScratchKeys keys;
  // He has a secret and a pepper of his own, and writes access to the database.
  const KeyAuthority forger(test_secrets('x'));
  const auto shown = forger.make_key(KeyKind::adm, "boss", kTestNowMs);
  store::KeyRow row{.key_id = "key_0123456789abcdef01234567",
                    .lookup = to_hex(crypto::view(keys.authority_.lookup(shown->reveal()))),
                    .client_id = "boss",
                    .kind = "adm",
                    .role = "admin",
                    .tenant = "default",
                    .label = "",
                    .created_ms = kTestNowMs,
                    .expires_ms = kTestNowMs + kTestDayMs,
                    .revoked_ms = 0,
                    .revoke_reason = "",
                    .row_mac = ""};
  row.row_mac = forger.row_mac(row);
  const store::KeyRow forged[] = {row};
  EXPECT_EQ(keys.authenticator_.replace(forged), 1U);
  // Even a row with a good MAC does not make a key good whose own MAC is not ours.
  row.row_mac = keys.authority_.row_mac(row);
  const store::KeyRow resealed[] = {row};
  EXPECT_EQ(keys.authenticator_.replace(resealed), 0U);
  EXPECT_EQ(keys.tried(shown->reveal()), "invalid_api_key");
}

TEST(Authenticator, TellsThoseWhoWatchAKeyOfItsRevocation) {
  ScratchKeys keys;
  const CreatedKey leaky = keys.make("leaky");
  const CreatedKey other = keys.make("other");
  int told = 0;
  int told_of_other = 0;
  int told_after = 0;
  const auto watch = [&](const CreatedKey& key, int& count) {
    return keys.authenticator_.watch(key.info.key_id, [&count] { ++count; });
  };
  const KeyWatch first = watch(leaky, told);
  const KeyWatch second = watch(leaky, told);
  const KeyWatch others = watch(other, told_of_other);
  {
    const KeyWatch gone = watch(leaky, told_after);
  }
  KeyWatch moved_from = watch(leaky, told);
  const KeyWatch moved = std::move(moved_from);
  keys.make("another");  // a snapshot that takes nothing away
  EXPECT_EQ(told, 0);
  ASSERT_TRUE(keys.service_->revoke(keys.admin(), leaky.info.key_id.value(), "lost"));
  EXPECT_EQ(told, 3);
  keys.make("one-more");
  EXPECT_EQ(told, 3) << "once";
  EXPECT_EQ(told_of_other, 0);
  EXPECT_EQ(told_after, 0);
}

TEST(Authenticator, WatchesComeAndGoWhileKeysAreRevoked) {
  ScratchKeys keys;
  std::vector<CreatedKey> made;
  for (int i = 0; i < 8; ++i) {
    made.push_back(keys.make("app-" + std::to_string(i)));
  }
  std::atomic<bool> stop = false;
  std::atomic<int> told = 0;
  std::vector<std::jthread> watchers;
  for (int thread = 0; thread < 2; ++thread) {
    watchers.emplace_back([&] {
      while (!stop) {
        for (const CreatedKey& key : made) {
          const KeyWatch watch = keys.authenticator_.watch(key.info.key_id, [&told] { ++told; });
        }
      }
    });
  }
  const KeyWatch last = keys.authenticator_.watch(made.back().info.key_id, [&told] { ++told; });
  for (const CreatedKey& key : made) {
    ASSERT_TRUE(keys.service_->revoke(keys.admin(), key.info.key_id.value(), "lost"));
  }
  stop = true;
  watchers.clear();
  EXPECT_GE(told, 1);
}

TEST(Authenticator, RevokesWhileOthersRead) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const CreatedKey other = keys.make("other");
  const std::string shown(key.shown.reveal());
  std::atomic<bool> revoked = false;
  std::atomic<bool> stop = false;
  std::atomic<int> late = 0;
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i < 3; ++i) {
      readers.emplace_back([&] {
        while (!stop) {
          const bool was_revoked = revoked;
          const bool in = keys.authenticator_.authenticate(shown, kTestNowMs).has_value();
          late += was_revoked && in ? 1 : 0;
          wrong += keys.authenticator_.authenticate(other.shown.reveal(), kTestNowMs) ? 0 : 1;
        }
      });
    }
    const auto done = keys.service_->revoke(keys.admin(), key.info.key_id.value(), "leaked");
    revoked = true;
    EXPECT_TRUE(done);
    for (int i = 0; i < 50; ++i) {
      keys.authenticator_.replace(*keys.database_->list_keys());
    }
    stop = true;
  }
  EXPECT_EQ(late, 0) << "accepted after revoke() returned";
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(keys.tried(shown), "key_revoked");
  EXPECT_FALSE(keys.authenticator_.still_valid(key.info.key_id, kTestNowMs));
  EXPECT_TRUE(keys.authenticator_.still_valid(other.info.key_id, kTestNowMs));
}

TEST(KeyAuthority, NeverMacsTwoMeaningsAsOne) {
  // ("ab", 1...) and ("ab1", ...): the boundary of client and second is fixed from the right.
  const KeyAuthority authority(test_secrets());
  const auto key = authority.make_key(KeyKind::live, "ab", 1'795'000'000'000);
  const auto parsed = parse_key(key->reveal());
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(authority.check(parsed->mac, parsed->salt, "ab", 1'795'000'000'999));
  EXPECT_FALSE(authority.check(parsed->mac, parsed->salt, "ab", 1'795'000'001'000));
  EXPECT_FALSE(authority.check(parsed->mac, parsed->salt, "ab1", 795'000'000'000));
  EXPECT_FALSE(authority.check(parsed->mac, parsed->salt, "a", 1'795'000'000'000));
}

TEST(KeyAuthority, MakesNoKeyWhenTheClockIsAbsurd) {
  const KeyAuthority authority(test_secrets());
  EXPECT_EQ(authority.make_key(KeyKind::live, "a", 0).error().code, Code::unavailable);
  EXPECT_EQ(authority.make_key(KeyKind::live, "a", -1).error().code, Code::unavailable);
  EXPECT_EQ(authority.make_key(KeyKind::live, "A", kTestNowMs).error().code,
            Code::invalid_argument);
}

}  // namespace
}  // namespace deepmoat::identity
