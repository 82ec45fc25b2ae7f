// Who gets in, and who does not: right keys, wrong keys, forged rows, clocks that go back.
#include "identity/authenticator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <tuple>
#include <type_traits>

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
std::vector<Edit> edits_of_a_forger() {
  return {
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
      [](store::KeyRow& row) { row.models = ""; },
      [](store::KeyRow& row) { row.models = "demo"; },
      [](store::KeyRow& row) { row.models = "demo\nchat\nother"; },
      [](store::KeyRow& row) { row.adapter = ""; },
      [](store::KeyRow& row) { row.adapter = "poet:0.1"; },
      [](store::KeyRow& row) { row.adapter_only = true; },
      [](store::KeyRow& row) { row.ip_ranges = ""; },
      [](store::KeyRow& row) { row.ip_ranges = "10.0.0.0/7"; },
      [](store::KeyRow& row) { row.data_class = ""; },
      [](store::KeyRow& row) { row.scopes = ""; },
      [](store::KeyRow& row) { row.scopes += "\nsee_models"; },
      [](store::KeyRow& row) { row.requests_per_minute = 0; },
      [](store::KeyRow& row) { row.tokens_per_minute += 1; },
      [](store::KeyRow& row) { row.concurrent_calls += 1; },
      [](store::KeyRow& row) { row.labels = "team=y"; },
      [](store::KeyRow& row) { row.predecessor = "key_another"; },
      [](store::KeyRow& row) { row.lineage = "key_another"; },
      [](store::KeyRow& row) { row.overlap_until_ms += 1; },
      [](store::KeyRow& row) { row.mac_version = 1; },
      [](store::KeyRow& row) { row.mac_version = 3; },
      [](store::KeyRow& row) { row.mac_version = 0; },
      // The same bytes in other fields.
      [](store::KeyRow& row) { std::swap(row.requests_per_minute, row.tokens_per_minute); },
      [](store::KeyRow& row) { std::swap(row.models, row.labels); },
      [](store::KeyRow& row) {
        row.models = "demo\nchatp";
        row.adapter = "oet";
      },
      [](store::KeyRow& row) {
        row.client_id = "ap";
        row.kind = "plive";
      },
      [](store::KeyRow& row) { std::swap(row.created_ms, row.expires_ms); },
      [](store::KeyRow& row) { std::swap(row.expires_ms, row.overlap_until_ms); },
  };
}

// Every column of a row, one after the other. One that is added to the table and not here does not
// compile.
template <class Visit>
void each_column(store::KeyRow& row, const Visit& visit) {
  auto& [key_id, lookup, client_id, kind, role, tenant, label, created_ms, expires_ms, revoked_ms,
         revoke_reason, models, adapter, adapter_only, ip_ranges, data_class, scopes,
         requests_per_minute, tokens_per_minute, concurrent_calls, labels, predecessor, lineage,
         overlap_until_ms, mac_version, row_mac] = row;
  const auto columns =
      std::tie(key_id, lookup, client_id, kind, role, tenant, label, created_ms, expires_ms,
               revoked_ms, revoke_reason, models, adapter, adapter_only, ip_ranges, data_class,
               scopes, requests_per_minute, tokens_per_minute, concurrent_calls, labels,
               predecessor, lineage, overlap_until_ms, mac_version, row_mac);
  std::apply([&](auto&... column) { (visit(column), ...); }, columns);
}

// What can be done to one column: `number` is 0, 1, 2, ...
template <class Column>
void edit_column(Column& column, int number) {
  if constexpr (std::is_same_v<Column, std::string>) {
    switch (number) {
      case 0:
        column += 'x';
        break;
      case 1:
        column.clear();
        break;
      case 2:
        column.insert(0, 1, ' ');
        break;
      default:  // one bit, of each byte in turn
        if (const auto at = static_cast<std::size_t>(number) - 3; at < column.size()) {
          column[at] = static_cast<char>(column[at] ^ 1);
        }
    }
  } else if constexpr (std::is_same_v<Column, bool>) {
    column = !column;
  } else {  // one bit, of all in turn
    column ^= static_cast<Column>(1ULL << (static_cast<unsigned>(number) % 64U));
  }
}
constexpr int kEditsOfAColumn = 3 + 64;

TEST(Authenticator, LeavesOutForgedEditedAndCopiedRows) {
  ScratchKeys keys;
  const auto made = keys.service_->create(
      keys.admin(),
      {.client_id = "app",
       .label = "",
       .attributes = {
           .models = {"demo", "chat"},
           .adapter = "poet",
           .ip_ranges = {"10.0.0.0/8"},
           .data_class = "internal",
           .scopes = {"call_models"},
           .limits = {.requests_per_minute = 5, .tokens_per_minute = 6, .concurrent_calls = 7},
           .labels = {{"team", "x"}}}});
  ASSERT_TRUE(made) << made.error().message;
  const CreatedKey& key = *made;
  const store::KeyRow good = *keys.database_->find_key(key.info.key_id.value());
  const std::vector<Edit> edits = edits_of_a_forger();
  Authenticator authenticator(keys.authority_);
  const store::KeyRow rows[] = {good};
  ASSERT_EQ(authenticator.replace(rows), 0U);
  ASSERT_TRUE(authenticator.authenticate(key.shown.reveal(), kTestNowMs, "10.1.2.3"));
  for (std::size_t i = 0; i < edits.size(); ++i) {
    store::KeyRow edited[] = {good};
    edits[i](edited[0]);
    EXPECT_EQ(authenticator.replace(edited), 1U) << "edit " << i;
    EXPECT_FALSE(authenticator.authenticate(key.shown.reveal(), kTestNowMs, "10.1.2.3"))
        << "edit " << i;
  }
}

// Nothing in a row may be changed: every column, by every bit, made longer and emptied.
TEST(Authenticator, LeavesOutARowWithAnyColumnEdited) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  store::KeyRow good = *keys.database_->find_key(key.info.key_id.value());
  // Something in every column, so that there is something to edit.
  good.label = "note";
  good.revoke_reason = "none";
  good.models = "demo\nchat";
  good.adapter = "poet:0.7";
  good.adapter_only = true;
  good.ip_ranges = "10.0.0.0/8";
  good.data_class = "internal";
  good.scopes = "call_models\nsee_models";
  good.requests_per_minute = 5;
  good.tokens_per_minute = 6;
  good.concurrent_calls = 7;
  good.labels = "team=x";
  good.predecessor = "key_predecessor";
  good.lineage = "key_lineage";
  good.overlap_until_ms = good.expires_ms - 1;
  keys.authority_.seal(good);
  Authenticator authenticator(keys.authority_);
  const auto get_in = [&](const store::KeyRow& row) {
    const store::KeyRow rows[] = {row};
    const std::size_t refused = authenticator.replace(rows);
    const bool in =
        authenticator.authenticate(key.shown.reveal(), kTestNowMs, "10.1.2.3").has_value();
    EXPECT_EQ(in, refused == 0);
    return in;
  };
  ASSERT_TRUE(get_in(good));
  int columns = 0;
  each_column(good, [&](auto& column) {
    const auto before = column;
    int edits = 0;
    for (int number = 0; number < kEditsOfAColumn; ++number) {
      edit_column(column, number);
      if (column != before) {
        ++edits;
        EXPECT_FALSE(get_in(good)) << "column " << columns << ", edit " << number;
      }
      column = before;
    }
    EXPECT_GT(edits, 3) << "column " << columns;
    ++columns;
  });
  EXPECT_EQ(columns, 26);
  EXPECT_TRUE(get_in(good));
}

// A row is one key's: no part of it, and no whole of it, is good for another.
TEST(Authenticator, LeavesOutRowsPutTogetherFromOthers) {
  ScratchKeys keys;
  const CreatedKey user = keys.make("app");
  const CreatedKey admin = keys.make("boss", Role::admin);
  const store::KeyRow low = *keys.database_->find_key(user.info.key_id.value());
  const store::KeyRow high = *keys.database_->find_key(admin.info.key_id.value());
  Authenticator authenticator(keys.authority_);
  const auto role_of = [&](const store::KeyRow& row, const CreatedKey& key) {
    const store::KeyRow rows[] = {row};
    authenticator.replace(rows);
    const auto principal = authenticator.authenticate(key.shown.reveal(), kTestNowMs);
    return principal ? std::string(role_name(principal->role)) : std::string("nobody");
  };
  ASSERT_EQ(role_of(low, user), "user");
  ASSERT_EQ(role_of(high, admin), "admin");
  store::KeyRow copied = high;  // the administrator's, found by the user's key
  copied.lookup = low.lookup;
  EXPECT_EQ(role_of(copied, user), "nobody");
  copied.row_mac = low.row_mac;
  EXPECT_EQ(role_of(copied, user), "nobody");
  copied.client_id = low.client_id;
  copied.created_ms = low.created_ms;
  copied.key_id = low.key_id;
  EXPECT_EQ(role_of(copied, user), "nobody");
  store::KeyRow again = low;  // a second life under another name
  again.key_id = "key_000000000000000000000000";
  EXPECT_EQ(role_of(again, user), "nobody");
  // The same row twice is one key.
  const store::KeyRow twice[] = {low, low};
  EXPECT_EQ(authenticator.replace(twice), 0U);
  EXPECT_TRUE(authenticator.authenticate(user.shown.reveal(), kTestNowMs));
}

store::KeyRow known_row() {
  return {.key_id = "key_0123456789abcdef01234567",
          .lookup = std::string(64, 'a'),
          .client_id = "billing-app",
          .kind = "live",
          .role = "user",
          .tenant = "acme",
          .label = "note",
          .created_ms = 1'795'000'000'123,
          .expires_ms = 1'802'776'000'123,
          .revoked_ms = 0,
          .revoke_reason = ""};
}

// By docs/formats/keys.md, computed by another program.
TEST(KeyAuthority, MacsARowAsItsPageSays) {
  const KeyAuthority authority(test_secrets());
  store::KeyRow row = known_row();
  row.row_mac = "652ed862a5e4f1bb447f388b7fcb42ccd114bbf7dd6a5f729e1bf10d9c449561";
  EXPECT_TRUE(authority.row_intact(row)) << "a row of version 1, from before the attributes";
  row.models = "demo\nchat";
  row.adapter = "poet:0.7";
  row.adapter_only = true;
  row.ip_ranges = "10.0.0.0/8";
  row.data_class = "sensitive";
  row.scopes = "call_models";
  row.requests_per_minute = 60;
  row.tokens_per_minute = 1000;
  row.concurrent_calls = 2;
  row.labels = "team=x";
  row.predecessor = "key_predecessor";
  row.lineage = "key_lineage";
  row.overlap_until_ms = 1'795'000'000'999;
  EXPECT_FALSE(authority.row_intact(row)) << "version 1 does not see attributes: none may be there";
  row.mac_version = 2;
  EXPECT_FALSE(authority.row_intact(row));
  row.row_mac = "b7745eb1cf386cf4aeab4ea0579ba5e4a07921b984d78b9ff967dffadc8b58ab";
  EXPECT_TRUE(authority.row_intact(row));
  row.mac_version = 1;
  EXPECT_FALSE(authority.row_intact(row));
}

TEST(KeyAuthority, LetsNobodyAddAnAttributeToAnOldRow) {
  const KeyAuthority authority(test_secrets());
  store::KeyRow old = known_row();
  old.row_mac = authority.row_mac(old);
  ASSERT_TRUE(authority.row_intact(old));
  const std::vector<Edit> edits{
      [](store::KeyRow& row) { row.models = "demo"; },
      [](store::KeyRow& row) { row.adapter = "poet"; },
      [](store::KeyRow& row) { row.adapter_only = true; },
      [](store::KeyRow& row) { row.ip_ranges = "10.0.0.0/8"; },
      [](store::KeyRow& row) { row.data_class = "public"; },
      [](store::KeyRow& row) { row.scopes = "call_models"; },
      [](store::KeyRow& row) { row.requests_per_minute = 1; },
      [](store::KeyRow& row) { row.tokens_per_minute = 1; },
      [](store::KeyRow& row) { row.concurrent_calls = 1; },
      [](store::KeyRow& row) { row.labels = "a=b"; },
      [](store::KeyRow& row) { row.mac_version = 2; },
  };
  for (std::size_t i = 0; i < edits.size(); ++i) {
    store::KeyRow edited = old;
    edits[i](edited);
    EXPECT_FALSE(authority.row_intact(edited)) << "edit " << i;
  }
  authority.seal(old);
  EXPECT_EQ(old.mac_version, kRowMacVersion);
  EXPECT_TRUE(authority.row_intact(old));
}

TEST(Authenticator, KeepsAKeyAtItsNetworksAndTellsNobodyElse) {
  ScratchKeys keys;
  const auto made = keys.service_->create(
      keys.admin(), {.client_id = "app",
                     .label = "",
                     .attributes = {.ip_ranges = {"10.1.0.0/16", "2001:db8::/32"}}});
  ASSERT_TRUE(made) << made.error().message;
  const std::string shown(made->shown.reveal());
  for (const char* address : {"10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"}) {
    EXPECT_TRUE(keys.authenticator_.authenticate(shown, kTestNowMs, address)) << address;
  }
  for (const char* address : {"10.2.0.1", "::1", "", "local", "2001:db9::7"}) {
    const auto refused = keys.authenticator_.authenticate(shown, kTestNowMs, address);
    ASSERT_FALSE(refused) << address;
    EXPECT_EQ(refused.error().kind, AuthFailureKind::elsewhere);
    EXPECT_EQ(refused.error().key_id, made->info.key_id) << "for the audit record";
  }
  EXPECT_EQ(failure_code(AuthFailureKind::elsewhere), failure_code(AuthFailureKind::unknown));
  EXPECT_EQ(failure_message(AuthFailureKind::elsewhere), failure_message(AuthFailureKind::unknown));
  // Nor does anybody learn there that it was a key.
  ASSERT_TRUE(keys.service_->revoke(keys.admin(), made->info.key_id.value(), "leaked"));
  EXPECT_EQ(keys.authenticator_.authenticate(shown, kTestNowMs, "192.0.2.1").error().kind,
            AuthFailureKind::elsewhere);
  EXPECT_EQ(keys.authenticator_.authenticate(shown, kTestNowMs, "10.1.2.3").error().kind,
            AuthFailureKind::revoked);
}

TEST(Authenticator, GivesEveryCallTheSameRules) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app", Role::operator_, "acme");
  const auto first = keys.authenticator_.authenticate(key.shown.reveal(), kTestNowMs);
  const auto second = keys.authenticator_.authenticate(key.shown.reveal(), kTestNowMs);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->rules, second->rules) << "one, shared: nothing is parsed for a call";
  EXPECT_TRUE(first->may(Permission::see_status));
  EXPECT_FALSE(first->may(Permission::change_parameters)) << "the models are everybody's";
  EXPECT_FALSE(first->may(Permission::manage_keys));
  EXPECT_FALSE(Principal().may(Permission::call_models));
  const auto home = keys.authenticator_.authenticate(
      keys.make("boss", Role::operator_).shown.reveal(), kTestNowMs);
  ASSERT_TRUE(home);
  EXPECT_TRUE(home->may(Permission::change_parameters));
}

// A row with a good MAC that this program does not understand, such as a newer one's.
TEST(Authenticator, LeavesOutARowThatItCannotRead) {
  ScratchKeys keys;
  const CreatedKey key = keys.make("app");
  const std::vector<Edit> edits{
      [](store::KeyRow& row) { row.role = "Admin"; },
      [](store::KeyRow& row) { row.role = "ADMIN"; },
      [](store::KeyRow& row) { row.role = "admin "; },
      [](store::KeyRow& row) {
        row.role =
            "\xD0\xB0"
            "dmin";
      },  // a Cyrillic a
      [](store::KeyRow& row) { row.ip_ranges = "everywhere"; },
      [](store::KeyRow& row) { row.scopes = "fly"; },
      [](store::KeyRow& row) { row.scopes = "manage_keys"; },
      [](store::KeyRow& row) { row.data_class = "Restricted"; },
  };
  for (std::size_t i = 0; i < edits.size(); ++i) {
    store::KeyRow row = *keys.database_->find_key(key.info.key_id.value());
    edits[i](row);
    keys.authority_.seal(row);
    const store::KeyRow rows[] = {row};
    EXPECT_EQ(keys.authenticator_.replace(rows), 1U) << i;
    EXPECT_EQ(keys.tried(key.shown.reveal()), "invalid_api_key") << i;
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
