// Who gets the next key of a withdrawn one: its client with its certificate, once, for seven days.
#include "identity/successors.h"

#include <gtest/gtest.h>

#include "crypto/scratch_field_cipher.h"
#include "crypto/x509.h"
#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

class SuccessorsTest : public testing::Test {
 protected:
  SuccessorsTest()
      : successors_(
            *keys_.database_,
            [this](audit::Record record) { return keys_.append(std::move(record)); }, cipher_,
            *keys_.service_, keys_.folder_ / "tls", keys_.clock_) {}

  // A certificate as a handshake would tell of it.
  CertifiedClient certify(const std::string& client_id, const std::string& tenant = "default") {
    return certify(client_id, tenant, successors_);
  }
  CertifiedClient certify(const std::string& client_id, const std::string& tenant, Successors& by) {
    const auto issued = by.issue(keys_.admin(), tenant, client_id, 365);
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

  ScratchKeys keys_;
  crypto::ScratchFieldCipher cipher_{Secret(std::string(32, 'r'))};
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
  EXPECT_EQ((*waiting)->client_id.value(), "shop");
  const auto row = store::ClientTable(*keys_.database_).find_successor(old.info.key_id.value());
  EXPECT_EQ(row->sealed_key.find("dmk_"), std::string::npos);

  const auto fetched = fetch(old.info, shop);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fetched->key_id, (*waiting)->key_id);
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
  EXPECT_EQ((*waiting)->attributes, old->info.attributes);
}

// Somebody who can write the database puts his own name where the client's was.
TEST_F(SuccessorsTest, AnEditedRowGivesItToNobody) {
  certify("shop");
  const CreatedKey old = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(old)));
  auto row = *store::ClientTable(*keys_.database_).find_successor(old.info.key_id.value());
  ScratchKeys edited;
  Successors there(
      *edited.database_, [&](audit::Record record) { return edited.append(std::move(record)); },
      cipher_, *edited.service_, edited.folder_ / "tls", edited.clock_);
  auto thief = certify("mine", "default", there);
  row.client_id = "mine";
  ASSERT_TRUE(store::ClientTable(*edited.database_).insert_successor(row));
  EXPECT_EQ(there.fetch(edited.admin(), old.info.key_id, thief).error().code, Code::corrupt);
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
  const CreatedKey boss = keys_.make("boss", Role::admin);
  EXPECT_FALSE(*successors_.prepare(keys_.admin(), leaked(boss))) << "a person hands those out";
  certify("shop");
  const CreatedKey shop = keys_.make("shop");
  ASSERT_TRUE(*successors_.prepare(keys_.admin(), leaked(shop)));
  EXPECT_FALSE(*successors_.prepare(keys_.admin(), leaked(shop))) << "it has one";
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
