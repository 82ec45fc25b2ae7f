// A leak is finished once its key is withdrawn, whatever comes between.
#include "gateway/leak_service.h"

#include <gtest/gtest.h>

#include "gateway/leak_admin.h"
#include "gateway/scratch_server.h"

namespace deepmoat::gateway {
namespace {

using Json = LeakService::Json;

class LeakServiceTest : public testing::Test {
 protected:
  // As the next run of the server makes it.
  std::unique_ptr<LeakService> service() {
    return std::make_unique<LeakService>(
        LeakService::Parts{.database = server_.database(),
                           .keys = server_.keys(),
                           .append = append_,
                           .audit_folder = server_.folder() / "audit",
                           .incident_folder = incidents(),
                           .signing_key = signing_key_,
                           .webhooks = webhooks_,
                           .successors = successors_,
                           .clock = clock_});
  }

  // A key whose client has a certificate, so that it gets a successor.
  std::string key_of(const std::string& client) {
    EXPECT_TRUE(successors_.issue(ScratchServer::boss(), "default", client, 30));
    const auto created = server_.keys().create(ScratchServer::boss(), {.client_id = client});
    EXPECT_TRUE(created) << created.error().message;
    return created->info.key_id.value();
  }
  OpenLeak withdraw(LeakService& leaks, const std::string& key,
                    const std::string& reason = "seen") {
    auto leak = leaks.withdraw(ScratchServer::boss(), key, reason);
    EXPECT_TRUE(leak) << leak.error().message;
    return *std::move(leak);
  }
  Result<Json> finish(LeakService& leaks, const OpenLeak& leak) {
    TRY(audit::KeyUsage usage, leaks.usage(leak));
    return leaks.record(leak, std::move(usage));
  }
  [[nodiscard]] std::filesystem::path incidents() const { return server_.folder() / "incidents"; }

  identity::AppendAudit append_ = [this](audit::Record record) {
    return server_.audit_log().append_and_wait(std::move(record));
  };
  SystemClock clock_;
  crypto::ScratchFieldCipher cipher_{Secret(std::string(32, 'r'))};
  ScratchServer server_;
  crypto::SigningKey signing_key_ = *crypto::SigningKey::from_seed(Secret(std::string(32, 'i')));
  webhook::WebhookService webhooks_{server_.database(), append_, cipher_, clock_};
  identity::Successors& successors_ = server_.successors();
};

TEST_F(LeakServiceTest, WhatAStopInterruptsTheNextRunFinishes) {
  const std::string key = key_of("shop");
  ASSERT_TRUE(
      webhooks_.add(ScratchServer::boss(), "https://hooks.example/", {"key.leaked"}, "default"));
  identity::Actor reporter = ScratchServer::boss();
  reporter.request_id = "req_1";
  reporter.narrowed_to = identity::permissions_of(identity::Role::user);
  reporter.narrowed_to->add(identity::Permission::manage_keys);
  const auto begun = service()->withdraw(reporter, key, "posted in a forum");
  ASSERT_TRUE(begun) << begun.error().message;

  const auto next = service();
  const auto open = next->open_leaks();
  ASSERT_TRUE(open) << open.error().message;
  ASSERT_EQ(open->size(), 1U);
  const OpenLeak& leak = open->front();
  EXPECT_EQ(leak.incident_id, begun->incident_id);
  EXPECT_EQ(leak.reason, "posted in a forum");
  EXPECT_EQ(leak.reporter.operator_id, "boss");
  EXPECT_EQ(leak.reporter.request_id, "req_1");
  EXPECT_EQ(leak.reporter.narrowed_to, reporter.narrowed_to);
  EXPECT_EQ(leak.key.audit_sequence, begun->key.audit_sequence);
  EXPECT_NE(leak.key.audit_sequence, 0U);
  EXPECT_EQ(leak.key.info.state, identity::KeyState::revoked);

  const auto answer = finish(*next, leak);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->at("incident").at("key").at("state_before"), "active");
  EXPECT_EQ(answer->at("incident").at("reported_by").at("operator"), "boss");
  EXPECT_EQ(answer->at("webhooks"), 1);
  EXPECT_TRUE(answer->at("successor").contains("key_id")) << answer->at("successor");
  EXPECT_TRUE(next->open_leaks()->empty());
  EXPECT_EQ(next->list(ScratchServer::boss())->size(), 1U);
}

TEST_F(LeakServiceTest, ARecordThatCouldNotBeMadeIsMadeByTheNextReport) {
  const std::string key = key_of("shop");
  ASSERT_TRUE(write_file_atomic(incidents(), "in the way", 0600));
  const auto leaks = service();
  const OpenLeak first = withdraw(*leaks, key, "first");
  EXPECT_FALSE(finish(*leaks, first));
  EXPECT_EQ(leaks->open_leaks()->size(), 1U);
  std::filesystem::remove(incidents());

  const OpenLeak second = withdraw(*leaks, key, "second");
  EXPECT_EQ(second.incident_id, first.incident_id);
  EXPECT_EQ(second.key.before, identity::KeyState::active);
  const auto answer = finish(*leaks, second);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->at("incident").at("reason"), "first");
  EXPECT_TRUE(answer->at("successor").contains("key_id")) << answer->at("successor");

  const OpenLeak third = withdraw(*leaks, key, "third");
  EXPECT_NE(third.incident_id, first.incident_id) << "the first is over";
  EXPECT_EQ(third.key.before, identity::KeyState::revoked);
}

TEST_F(LeakServiceTest, TwoReportsAtOnceAreOneIncident) {
  const auto leaks = service();
  ASSERT_TRUE(successors_.issue(ScratchServer::boss(), "default", "shop", 365));
  const std::string key = key_of("shop");
  const OpenLeak first = withdraw(*leaks, key);
  const OpenLeak second = withdraw(*leaks, key);
  const auto one = finish(*leaks, first);
  const auto other = finish(*leaks, second);
  ASSERT_TRUE(one && other);
  EXPECT_EQ(one->at("incident"), other->at("incident"));
  EXPECT_EQ(one->at("successor"), other->at("successor")) << "the same key waits";
  EXPECT_NE(one->at("successor").at("how").get<std::string>().find("/v1/keys/successor"),
            std::string::npos);
  EXPECT_EQ(leaks->list(ScratchServer::boss())->size(), 1U);
}

TEST_F(LeakServiceTest, ReadingEndsWhenTheServerStops) {
  const auto leaks = service();
  const OpenLeak leak = withdraw(*leaks, key_of("shop"));
  leaks->stop();
  const auto usage = leaks->usage(leak);
  ASSERT_FALSE(usage);
  EXPECT_EQ(usage.error().code, Code::unavailable);
  EXPECT_EQ(service()->open_leaks()->size(), 1U);
}

TEST_F(LeakServiceTest, TheReportIsWholeWithoutItsPlaceInTheLog) {
  const auto leaks = service();
  OpenLeak leak = withdraw(*leaks, key_of("shop"));
  leak.key.audit_sequence = 0;  // the server ended before it was known
  const auto usage = leaks->usage(leak);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->fault, "");
  EXPECT_GT(usage->last_sequence, 0U);
}

TEST_F(LeakServiceTest, WhatWasPutInFromOutsideIsNotBelieved) {
  const auto leaks = service();
  withdraw(*leaks, key_of("shop"));
  store::LeakTable table(server_.database());
  store::OpenLeakRow row = table.list_open_leaks()->front();
  const std::string::size_type at = row.content.find("active");
  ASSERT_NE(at, std::string::npos);
  row.content.replace(at, 6, "expired");
  ASSERT_TRUE(table.put_open_leak(row));
  EXPECT_TRUE(leaks->open_leaks()->empty());

  // Nor is a row of a key that nobody has withdrawn, moved to where another's was.
  const auto signed_row = row_of({.incident_id = "inc_1", .key = {}}, signing_key_);
  ASSERT_TRUE(signed_row);
  store::OpenLeakRow moved = *signed_row;
  moved.key_id = row.key_id;
  ASSERT_TRUE(table.put_open_leak(moved));
  EXPECT_TRUE(leaks->open_leaks()->empty());
}

TEST_F(LeakServiceTest, AnAlteredRecordHidesNoOther) {
  const auto leaks = service();
  std::vector<std::string> ids;
  for (const char* client : {"shop", "till"}) {
    const OpenLeak leak = withdraw(*leaks, key_of(client));
    ASSERT_TRUE(finish(*leaks, leak));
    ids.push_back(leak.incident_id);
  }
  ASSERT_TRUE(write_file_atomic(incidents() / (ids[0] + ".json"), "altered", 0600));
  const auto list = leaks->list(ScratchServer::boss());
  ASSERT_TRUE(list) << list.error().message;
  ASSERT_EQ(list->size(), 2U);
  for (const Json& one : *list) {
    EXPECT_EQ(one.contains("fault"), one.at("id") == ids[0]) << one;
  }
  identity::Actor other = ScratchServer::boss();
  other.tenant = TenantId("hr");
  EXPECT_TRUE(leaks->list(other)->empty());
}

}  // namespace
}  // namespace deepmoat::gateway
