// Who gets the next key of a withdrawn one: its client with its certificate or a code of its second
// factor, once, for seven days.
#include "identity/successors.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>

#include "crypto/scratch_field_cipher.h"
#include "crypto/x509.h"
#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

const FactorOwner kShop{.tenant = "default", .client_id = "shop"};

class SuccessorsTest : public testing::Test {
 protected:
  SuccessorsTest() : successors_(parts_of(keys_, cipher_, sessions_)) {}

  static Successors::Parts parts_of(ScratchKeys& keys, crypto::FieldCipher& cipher,
                                    Sessions& sessions) {
    return {.database = *keys.database_,
            .append = [&keys](audit::Record record) { return keys.append(std::move(record)); },
            .authenticator = keys.authenticator_,
            .cipher = cipher,
            .secrets = keys.secrets_,
            .keys = *keys.service_,
            .factors = *keys.factors_,
            .sessions = sessions,
            .tls_folder = keys.folder_ / "tls",
            .clock = keys.clock_};
  }

  // A certificate as a handshake would tell of it.
  CertifiedClient certify(const std::string& client_id, const std::string& tenant = "default") {
    const auto issued = successors_.issue(keys_.admin(), tenant, client_id, 365);
    EXPECT_TRUE(issued) << issued.error().message;
    const auto leaf = crypto::certificate_from_pem(issued->certificate.certificate);
    auto client = parse_client_uri(crypto::client_uri(**leaf));
    EXPECT_TRUE(client);
    client->fingerprint = *crypto::fingerprint(**leaf);
    return *client;
  }

  KeyInfo leaked(const CreatedKey& key) {
    const auto leak = keys_.service_->leak(keys_.admin(), key.info.key_id.value(), "in a forum");
    EXPECT_TRUE(leak);
    return leak->info;
  }

  Result<FetchedKey> fetch(const KeyInfo& old_key, const CertifiedClient& client) {
    return successors_.fetch(keys_.admin(), old_key.key_id, client);
  }
  // "ok", or the error's code.
  std::string fetched_with(const KeyInfo& old_key, const std::string& code,
                           const FactorOwner& owner = kShop) {
    const auto fetched = successors_.fetch(keys_.admin(), old_key.key_id, owner, code);
    return fetched ? "ok" : std::string(code_name(fetched.error().code));
  }
  std::int64_t factor_failures() {
    return keys_.database_->find_second_factor("default", "shop").value()->failures;
  }
  std::vector<CertificateState> states() {
    std::vector<CertificateState> states;
    const auto listed = successors_.list(keys_.admin());
    EXPECT_TRUE(listed);
    for (const CertificateInfo& certificate : *listed) {
      states.push_back(certificate.state);
    }
    return states;
  }

  // Runs SQL past our code, as somebody with the file could.
  void run_sql(const std::string& sql) const {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open((keys_.folder_ / "deepmoat.db").c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sql;
    sqlite3_close(handle);
  }

  ScratchKeys keys_;
  crypto::ScratchFieldCipher cipher_{Secret(std::string(32, 'r'))};
  Sessions sessions_;
  Successors successors_;
};

TEST(ClientUri, HasOneSpelling) {
  const auto client = parse_client_uri("deepmoat:client:hr/pay-roll");
  ASSERT_TRUE(client);
  EXPECT_EQ(client->tenant.value(), "hr");
  EXPECT_EQ(client->client_id.value(), "pay-roll");
  EXPECT_EQ(client_uri(client->tenant, client->client_id), "deepmoat:client:hr/pay-roll");
  for (const char* bad : {"", "deepmoat:client:", "deepmoat:client:hr", "deepmoat:client:hr/",
                          "deepmoat:client:/a", "deepmoat:client:hr/a/b", "deepmoat:client:HR/a",
                          "x:client:hr/a", "deepmoat:client:hr/a\n", "Deepmoat:client:hr/a"}) {
    EXPECT_FALSE(parse_client_uri(bad)) << bad;
  }
}

TEST_F(SuccessorsTest, GivesTheNextKeyOnceToItsClient) {
  const CertifiedClient shop = certify("shop");
  const CreatedKey old = keys_.make("shop");
  const auto waiting = successors_.prepare(keys_.admin(), leaked(old));
  ASSERT_TRUE(waiting && *waiting);
  EXPECT_EQ((*waiting)->info.client_id.value(), "shop");
  EXPECT_TRUE((*waiting)->by_certificate);
  EXPECT_FALSE((*waiting)->by_second_factor);
  const auto row = store::ClientTable(*keys_.database_).find_successor(old.info.key_id.value());
  EXPECT_EQ(row->sealed_key.find("dmk_"), std::string::npos);

  const auto fetched = fetch(old.info, shop);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fetched->key_id, (*waiting)->info.key_id);
  EXPECT_EQ(keys_.tried(fetched->shown.reveal()), "ok");
  EXPECT_EQ(keys_.records_.back().action, "key.successor");
  EXPECT_EQ(keys_.records_.back().resource, fetched->key_id.value());

  EXPECT_EQ(fetch(old.info, shop).error().code, Code::not_found);
  EXPECT_TRUE(store::ClientTable(*keys_.database_)
                  .find_successor(old.info.key_id.value())
                  ->sealed_key.empty());
  EXPECT_EQ(keys_.records_.back().outcome, audit::Outcome::refused);
}

TEST_F(SuccessorsTest, TheNextKeyIsBoundAsTheLeakedOneWas) {
  certify("shop");
  const auto old =
      keys_.service_->create(keys_.admin(), {.client_id = "shop",
                                             .attributes = {.models = {"demo"},
                                                            .ip_ranges = {"10.0.0.0/8"},
                                                            .data_class = "sensitive",
                                                            .scopes = {"call_models"},
                                                            .limits = {.requests_per_minute = 6}}});
  ASSERT_TRUE(old) << old.error().message;
  const auto waiting = successors_.prepare(keys_.admin(), leaked(*old));
  ASSERT_TRUE(waiting && *waiting);
  EXPECT_EQ((*waiting)->info.attributes, old->info.attributes);
}

// Somebody who can write the database puts his own name where the client's was.
TEST_F(SuccessorsTest, AnEditedRowGivesItToNobody) {
  certify("shop");
  const CreatedKey old = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(old)));
  const auto thief = certify("mine");
  run_sql("UPDATE key_successors SET client_id = 'mine'");
  EXPECT_EQ(fetch(old.info, thief).error().code, Code::corrupt);
  run_sql("UPDATE key_successors SET client_id = 'shop'");
  const KeyInfo other = keys_.make("shop").info;
  run_sql("UPDATE key_successors SET old_key_id = '" + other.key_id.value() + "'");
  EXPECT_EQ(fetch(other, certify("shop")).error().code, Code::corrupt) << "of another key";
}

TEST_F(SuccessorsTest, AnEditedRowMakesNothingWaitLonger) {
  const CertifiedClient shop = certify("shop");
  const CreatedKey old = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(old)));
  run_sql("UPDATE key_successors SET ends_ms = ends_ms + 86400000");
  keys_.clock_.advance_ms(kSuccessorWaitMs);
  EXPECT_EQ(fetch(old.info, shop).error().code, Code::corrupt);
}

TEST_F(SuccessorsTest, AKeyThatWasTakenOutIsNotInItsRowAnyMore) {
  const CertifiedClient shop = certify("shop");
  const CreatedKey old = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(old)));
  ASSERT_TRUE(fetch(old.info, shop));
  run_sql("UPDATE key_successors SET fetched_ms = 0");
  EXPECT_EQ(fetch(old.info, shop).error().code, Code::not_found);
}

TEST_F(SuccessorsTest, AnEditedCertificateIsNotInForce) {
  const CertifiedClient shop = certify("shop");
  ASSERT_TRUE(successors_.issued_at(shop)->has_value());
  const std::array<std::string, 4> edits{"revoked_ms = 1", "ends_ms = ends_ms + 1",
                                         "created_ms = created_ms - 1", "created_by = 'nobody'"};
  const auto intact = store::ClientTable(*keys_.database_).find_certificate(shop.fingerprint);
  for (const std::string& edit : edits) {
    run_sql("UPDATE client_certificates SET " + edit);
    EXPECT_FALSE(successors_.issued_at(shop)->has_value()) << edit;
    EXPECT_EQ(states(), std::vector{CertificateState::corrupt}) << edit;
    EXPECT_EQ(successors_.revoke(keys_.admin(), shop.fingerprint).error().code, Code::corrupt);
    run_sql("DELETE FROM client_certificates");
    ASSERT_TRUE(store::ClientTable(*keys_.database_).insert_certificate(*intact));
    ASSERT_TRUE(successors_.issued_at(shop)->has_value());
  }
  ASSERT_TRUE(successors_.revoke(keys_.admin(), shop.fingerprint));
  EXPECT_EQ(states(), std::vector{CertificateState::revoked});
  run_sql("UPDATE client_certificates SET revoked_ms = 0");
  EXPECT_FALSE(successors_.issued_at(shop)->has_value()) << "a revocation that was taken back";
  EXPECT_EQ(states(), std::vector{CertificateState::corrupt});
  EXPECT_FALSE(*successors_.prepare(keys_.admin(), leaked(keys_.make("shop"))));
}

TEST_F(SuccessorsTest, AForgedOrCopiedCertificateIsNotInForce) {
  const CertifiedClient shop = certify("shop");
  const CertifiedClient other = certify("other");
  store::ClientTable table(*keys_.database_);
  store::ClientCertificateRow forged = *table.find_certificate(shop.fingerprint);
  forged.fingerprint = "AB:CD";
  const CertifiedClient thief{shop.tenant, shop.client_id, forged.fingerprint};
  for (const std::string& mac : {std::string(), std::string(64, '0'), forged.row_mac}) {
    forged.row_mac = mac;
    ASSERT_TRUE(table.insert_certificate(forged));
    EXPECT_FALSE(successors_.issued_at(thief)->has_value()) << mac;
    run_sql("DELETE FROM client_certificates WHERE fingerprint = 'AB:CD'");
  }
  // Two rows change places: whose certificate it is, with the MAC or without it.
  for (const std::string& columns : {"client_id", "client_id, row_mac"}) {
    run_sql("CREATE TABLE kept AS SELECT * FROM client_certificates");
    run_sql("UPDATE client_certificates SET (" + columns + ") = (SELECT " + columns +
            " FROM kept WHERE kept.fingerprint <> client_certificates.fingerprint)");
    EXPECT_FALSE(successors_.issued_at(shop)->has_value());
    EXPECT_FALSE(
        successors_.issued_at({other.tenant, other.client_id, shop.fingerprint})->has_value());
    EXPECT_FALSE(
        successors_.issued_at({shop.tenant, shop.client_id, other.fingerprint})->has_value());
    run_sql("DELETE FROM client_certificates");
    run_sql("INSERT INTO client_certificates SELECT * FROM kept");
    run_sql("DROP TABLE kept");
    EXPECT_TRUE(successors_.issued_at(shop)->has_value());
  }
}

TEST_F(SuccessorsTest, ACertificateNeedsItsFingerprint) {
  CertifiedClient shop = certify("shop");
  EXPECT_TRUE(successors_.issued_at(shop)->has_value());
  shop.fingerprint = "";
  EXPECT_FALSE(successors_.issued_at(shop)->has_value());
}

TEST_F(SuccessorsTest, AClockThatIsSetBackRevivesNothing) {
  const auto issued = successors_.issue(keys_.admin(), "default", "brief", 1);
  ASSERT_TRUE(issued);
  const CertifiedClient brief{TenantId("default"), ClientId("brief"),
                              issued->certificate.fingerprint};
  const CertifiedClient shop = certify("shop");
  const CreatedKey old = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(old)));
  EXPECT_TRUE(successors_.issued_at(brief)->has_value());
  keys_.authenticator_.observe_time(kTestNowMs + kSuccessorWaitMs);  // nothing was done with it
  EXPECT_FALSE(successors_.issued_at(brief)->has_value());
  EXPECT_EQ(fetch(old.info, shop).error().code, Code::not_found);
  EXPECT_TRUE(successors_.issued_at(shop)->has_value());
}

TEST_F(SuccessorsTest, GivesTheNextKeyForACode) {
  const std::string secret = keys_.enrolled(kShop);
  const CreatedKey old = keys_.make("shop");
  const auto waiting = successors_.prepare(keys_.admin(), leaked(old));
  ASSERT_TRUE(waiting && *waiting);
  EXPECT_FALSE((*waiting)->by_certificate);
  EXPECT_TRUE((*waiting)->by_second_factor);

  const std::string code = keys_.code_of(secret);
  EXPECT_EQ(fetched_with(old.info, "aaaa-aaaa-aaaa-aaaa"), "permission_denied");
  EXPECT_EQ(factor_failures(), 1);
  EXPECT_EQ(keys_.records_.back().resource, old.info.key_id.value());
  EXPECT_EQ(fetched_with(old.info, "12345"), "invalid_argument");
  EXPECT_EQ(fetched_with(old.info, code, {.tenant = "default", .client_id = "other"}), "not_found");
  EXPECT_EQ(fetched_with(old.info, code, {.tenant = "hr", .client_id = "shop"}), "not_found");

  const auto fetched = successors_.fetch(keys_.admin(), old.info.key_id, kShop, code);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fetched->key_id, (*waiting)->info.key_id);
  EXPECT_EQ(keys_.tried(fetched->shown.reveal()), "ok");
  EXPECT_EQ(keys_.records_.back().action, "key.successor");
  EXPECT_EQ(keys_.records_.back().resource, fetched->key_id.value());
  EXPECT_EQ(factor_failures(), 0);

  EXPECT_EQ(fetched_with(old.info, keys_.code_of(secret, 1)), "not_found") << "once";
  EXPECT_EQ(fetch(old.info, certify("shop")).error().code, Code::not_found) << "on either way";
  EXPECT_FALSE(keys_.factors_->verify(kShop, code, [] { return Result<>(); })) << "it was used";
}

TEST_F(SuccessorsTest, ARecoveryCodeWorksOnceToo) {
  keys_.enrolled(kShop);
  const CreatedKey first = keys_.make("shop");
  const CreatedKey second = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(first)));
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(second)));
  EXPECT_EQ(fetched_with(first.info, keys_.recovery_codes_[0]), "ok");
  EXPECT_EQ(fetched_with(second.info, keys_.recovery_codes_[0]), "permission_denied") << "a replay";
  EXPECT_EQ(fetched_with(second.info, keys_.recovery_codes_[1]), "ok");
}

TEST_F(SuccessorsTest, NoCodeIsUsedUpOrCountedForNothing) {
  const std::string secret = keys_.enrolled(kShop);
  const CreatedKey old = keys_.make("shop");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(fetched_with(old.info, "000000"), "not_found") << "nothing waits";
  }
  EXPECT_EQ(factor_failures(), 0) << "a leaked key must not lock its client out";
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(old)));
  const std::string code = keys_.code_of(secret);
  run_sql("UPDATE key_successors SET new_key_id = 'key_1'");
  EXPECT_EQ(fetched_with(old.info, code), "corrupt");
  EXPECT_TRUE(keys_.factors_->verify(kShop, code, [] { return Result<>(); })) << "not used up";
}

TEST_F(SuccessorsTest, GuessingLocksTheSecondFactor) {
  keys_.enrolled(kShop);
  const CreatedKey old = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(old)));
  for (int i = 0; i < kFactorFailuresMax; ++i) {
    EXPECT_EQ(fetched_with(old.info, "aaaa-aaaa-aaaa-aaaa"), "permission_denied");
  }
  EXPECT_EQ(fetched_with(old.info, keys_.recovery_codes_[0]), "resource_exhausted");
  keys_.clock_.advance_ms(kFactorLockMs);
  EXPECT_EQ(fetched_with(old.info, keys_.recovery_codes_[0]), "ok");
}

TEST_F(SuccessorsTest, ASecondFactorCountsOnceItIsConfirmed) {
  ASSERT_TRUE(keys_.factors_->enrol(keys_.admin(), kShop, crypto::OtpAlgorithm::totp_sha1));
  EXPECT_FALSE(*successors_.prepare(keys_.admin(), leaked(keys_.make("shop"))));
  EXPECT_FALSE(*keys_.factors_->counts(kShop));
  ASSERT_TRUE(keys_.factors_->remove(keys_.admin(), kShop));
  EXPECT_FALSE(*keys_.factors_->counts(kShop));
  keys_.enrolled(kShop);
  EXPECT_TRUE(*keys_.factors_->counts(kShop));
  EXPECT_FALSE(*keys_.factors_->counts({.tenant = "hr", .client_id = "shop"}));
  auto edited = *keys_.database_->find_second_factor("default", "shop").value();
  edited.failures = 1;
  ASSERT_TRUE(keys_.database_->put_second_factor(edited));
  EXPECT_EQ(keys_.factors_->counts(kShop).error().code, Code::corrupt);
  const KeyInfo old = leaked(keys_.make("shop"));
  EXPECT_EQ(successors_.prepare(keys_.admin(), old).error().code, Code::corrupt);
  certify("shop");
  const auto waiting = successors_.prepare(keys_.admin(), old);
  ASSERT_TRUE(waiting && *waiting) << "the certificate is good";
  EXPECT_FALSE((*waiting)->by_second_factor);
}

TEST_F(SuccessorsTest, AKeyThatCannotBeKeptForItsOwnerDoesNotLiveOn) {
  certify("shop");
  const CreatedKey old = keys_.make("shop");
  const KeyInfo info = leaked(old);
  cipher_.seal_fails = true;
  EXPECT_EQ(successors_.prepare(keys_.admin(), info).error().code, Code::unavailable);
  const auto all = keys_.service_->all_keys();
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 2U);
  for (const KeyInfo& key : *all) {
    EXPECT_EQ(key.state, KeyState::revoked);
  }
}

TEST_F(SuccessorsTest, NobodyElseGetsIt) {
  const CertifiedClient shop = certify("shop");
  const CertifiedClient other = certify("other");
  const CertifiedClient namesake = certify("shop", "hr");
  const CreatedKey old = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(old)));
  EXPECT_EQ(fetch(old.info, other).error().code, Code::not_found);
  EXPECT_EQ(fetch(old.info, namesake).error().code, Code::not_found);
  CertifiedClient unknown = shop;
  unknown.fingerprint = other.fingerprint;  // signed by the CA, never issued for this client
  EXPECT_EQ(fetch(old.info, unknown).error().code, Code::not_found);
  unknown.fingerprint = "";
  EXPECT_EQ(fetch(old.info, unknown).error().code, Code::not_found);
  EXPECT_EQ(fetch(keys_.make("shop").info, shop).error().code, Code::not_found);
  ASSERT_TRUE(successors_.revoke(keys_.admin(), shop.fingerprint));
  EXPECT_EQ(fetch(old.info, shop).error().code, Code::not_found);
  EXPECT_TRUE(fetch(old.info, certify("shop")));
}

TEST_F(SuccessorsTest, ItWaitsSevenDays) {
  const CertifiedClient shop = certify("shop");
  const CreatedKey first = keys_.make("shop");
  const CreatedKey second = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(first)));
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(second)));
  keys_.clock_.advance_ms(kSuccessorWaitMs - 1);
  EXPECT_TRUE(fetch(first.info, shop));
  keys_.clock_.advance_ms(1);
  EXPECT_EQ(fetch(second.info, shop).error().code, Code::not_found);
  keys_.clock_.advance_ms(1);
  EXPECT_FALSE(fetch(second.info, shop));
  EXPECT_TRUE(store::ClientTable(*keys_.database_)
                  .find_successor(second.info.key_id.value())
                  ->sealed_key.empty());
}

TEST_F(SuccessorsTest, NothingIsMadeForWhoCannotFetchIt) {
  const CreatedKey plain = keys_.make("plain");
  EXPECT_FALSE(*successors_.prepare(keys_.admin(), leaked(plain)));
  certify("boss");
  keys_.enrolled({.tenant = "default", .client_id = "boss"});
  for (const Role role : {Role::admin, Role::auditor}) {
    const CreatedKey boss = keys_.make("boss", role);
    EXPECT_FALSE(*successors_.prepare(keys_.admin(), leaked(boss))) << "a person hands those out";
  }
  certify("shop");
  const CreatedKey shop = keys_.make("shop");
  const auto waiting = *successors_.prepare(keys_.admin(), leaked(shop));
  ASSERT_TRUE(waiting);
  const auto again = *successors_.prepare(keys_.admin(), leaked(shop));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->info.key_id, waiting->info.key_id) << "it has one";
}

TEST_F(SuccessorsTest, AdministratorsReachTheirTenant) {
  const auto ours = certify("shop");
  const auto theirs = certify("shop", "hr");
  EXPECT_EQ(successors_.list(keys_.admin())->size(), 2U);
  EXPECT_EQ(successors_.list(keys_.admin_of("hr"))->size(), 1U);
  EXPECT_EQ(successors_.issue(keys_.admin_of("hr"), "it", "x", 1).error().code,
            Code::permission_denied);
  EXPECT_EQ(successors_.revoke(keys_.admin_of("hr"), ours.fingerprint).error().code,
            Code::not_found);
  EXPECT_TRUE(successors_.revoke(keys_.admin_of("hr"), theirs.fingerprint));
  EXPECT_EQ(successors_.revoke(keys_.admin_of("hr"), theirs.fingerprint).error().code,
            Code::not_found);
  for (const std::int64_t days : {0L, 826L}) {
    EXPECT_EQ(successors_.issue(keys_.admin(), "hr", "x", days).error().code,
              Code::invalid_argument);
  }
  EXPECT_EQ(successors_.issue(keys_.admin(), "hr", "Not A Name", 1).error().code,
            Code::invalid_argument);
}

}  // namespace
}  // namespace deepmoat::identity
