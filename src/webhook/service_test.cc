// Webhooks from the first to the last: who may, who is told, what is sent when, what is on record.
#include "webhook/service.h"

#include <gtest/gtest.h>

#include "base/scratch_folder.h"
#include "crypto/scratch_field_cipher.h"

namespace deepmoat::webhook {
namespace {

constexpr UnixMillis kNowMs = 1'795'000'000'000;

class WebhookServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    auto database = store::Database::open(folder_ / "deepmoat.db");
    ASSERT_TRUE(database) << database.error().message;
    database_ = *std::move(database);
    service_ = std::make_unique<WebhookService>(
        *database_, [this](audit::Record record) { return append(std::move(record)); }, cipher_,
        clock_);
  }

  Result<std::uint64_t> append(audit::Record record) {
    if (log_gone_) {
      return fail(Code::unavailable, "the disk is gone");
    }
    records_.push_back(std::move(record));
    return records_.size();
  }

  static identity::Actor admin_of(const std::string& tenant = "default") {
    identity::Actor actor;
    actor.operator_id = "boss";
    actor.tenant = TenantId(tenant);
    return actor;
  }

  static identity::KeyInfo key_of(const std::string& tenant = "default") {
    return {.key_id = KeyId("key_1"),
            .client_id = ClientId("shop"),
            .tenant = TenantId(tenant),
            .role = "user",
            .created_ms = kNowMs - 80 * kDayMs,
            .expires_ms = kNowMs + 10 * kDayMs};
  }

  WebhookService::Json add(const std::string& tenant = "default") {
    const auto added = service_->add(admin_of(), "https://hooks.example/x",
                                     {"key.leaked", "key.expiring", "key.leaked"}, tenant);
    EXPECT_TRUE(added) << added.error().message;
    return added.value_or(WebhookService::Json());
  }

  std::vector<Job> due(const std::set<std::string>& busy = {}) {
    auto taken = service_->take_due(8, busy);
    EXPECT_TRUE(taken);
    return std::move(taken->jobs);
  }

  [[nodiscard]] WebhookService::Json delivery() { return service_->deliveries(admin_of())->at(0); }

  ScratchFolder folder_;
  ManualClock clock_{kNowMs};
  crypto::ScratchFieldCipher cipher_{Secret(std::string(32, 'r'))};
  std::unique_ptr<store::Database> database_;
  std::vector<audit::Record> records_;
  bool log_gone_ = false;
  std::unique_ptr<WebhookService> service_;
};

TEST_F(WebhookServiceTest, ShowsTheSecretOnceAndSealsIt) {
  const auto added = add();
  const auto secret = added.at("secret").get<std::string>();
  EXPECT_EQ(secret.size(), 5U + 64U);
  EXPECT_EQ(added.at("events").size(), 2U);
  const auto listed = service_->list(admin_of());
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_FALSE(listed->at(0).contains("secret"));
  const auto row = store::WebhookTable(*database_).list_webhooks()->front();
  EXPECT_EQ(row.sealed_secret.find(secret), std::string::npos);
  EXPECT_EQ(records_.at(0).action, "webhook.add");
  EXPECT_EQ(records_.at(1).outcome, audit::Outcome::success);
  EXPECT_EQ(records_.at(1).resource, added.at("id").get<std::string>());
}

TEST_F(WebhookServiceTest, RefusesWhatItCannotServe) {
  const auto refused = [&](const std::string& url, const std::vector<std::string>& events,
                           const std::string& tenant, const identity::Actor& actor) {
    const auto added = service_->add(actor, url, events, tenant);
    EXPECT_EQ(records_.back().outcome, audit::Outcome::refused);
    return added ? std::string() : std::string(code_name(added.error().code));
  };
  const std::string url = "https://hooks.example/";
  EXPECT_EQ(refused("http://hooks.example/", {"key.leaked"}, "default", admin_of()),
            "invalid_argument");
  EXPECT_EQ(refused(url, {}, "default", admin_of()), "invalid_argument");
  EXPECT_EQ(refused(url, {"key.created"}, "default", admin_of()), "invalid_argument");
  EXPECT_EQ(refused(url, {"key.leaked"}, "Not A Name", admin_of()), "invalid_argument");
  EXPECT_EQ(refused(url, {"key.leaked"}, "hr", admin_of("it")), "permission_denied");
  EXPECT_TRUE(service_->list(admin_of())->empty());
}

TEST_F(WebhookServiceTest, WithoutTheAuditLogNothingHappens) {
  log_gone_ = true;
  EXPECT_FALSE(service_->add(admin_of(), "https://hooks.example/", {"key.leaked"}, "default"));
  log_gone_ = false;
  EXPECT_TRUE(service_->list(admin_of())->empty());
  add();
  ASSERT_EQ(*service_->announce(kKeyLeaked, "inc_1", key_of(), {}), 1U);
  log_gone_ = true;
  EXPECT_FALSE(service_->take_due(8, {}));
}

TEST_F(WebhookServiceTest, TenantsSeeAndGetTheirOwn) {
  const auto ours = add("default");
  const auto theirs = add("hr");
  EXPECT_EQ(service_->list(admin_of("hr"))->size(), 1U);
  EXPECT_EQ(service_->remove(admin_of("hr"), ours.at("id")).error().code, Code::not_found);
  // The home tenant runs the installation: it is told of everybody's keys, others of theirs.
  EXPECT_EQ(*service_->announce(kKeyLeaked, "inc_1", key_of("hr"), {}), 2U);
  EXPECT_EQ(*service_->announce(kKeyLeaked, "inc_2", key_of("it"), {}), 1U);
  EXPECT_EQ(service_->deliveries(admin_of("hr"))->size(), 1U);
  EXPECT_TRUE(service_->remove(admin_of("hr"), theirs.at("id")));
  EXPECT_EQ(service_->list(admin_of())->size(), 1U);
}

TEST_F(WebhookServiceTest, SendsTriesAgainAndThenIsDone) {
  const auto added = add();
  ASSERT_EQ(*service_->announce(kKeyLeaked, "inc_1", key_of(), {{"incident", "inc_1"}}), 1U);
  EXPECT_EQ(*service_->announce(kKeyLeaked, "inc_1", key_of(), {}), 0U) << "announced already";
  EXPECT_TRUE(due({added.at("id").get<std::string>()}).empty()) << "one at a time";

  auto jobs = due();
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].secret.reveal(), added.at("secret").get<std::string>());
  const auto body = nlohmann::json::parse(jobs[0].row.body);
  EXPECT_EQ(body.at("event"), "key.leaked");
  EXPECT_EQ(body.at("incident"), "inc_1");
  EXPECT_EQ(body.at("key").at("client_id"), "shop");
  EXPECT_EQ(body.at("id").get<std::string>(), jobs[0].row.delivery_id);
  ASSERT_TRUE(service_->note(jobs[0], {.status = 500, .error = "status 500"}));
  EXPECT_EQ(delivery().at("state"), "waiting");
  EXPECT_EQ(delivery().at("last_status"), 500);
  EXPECT_TRUE(due().empty());
  EXPECT_EQ(service_->take_due(8, {})->next_ms, kNowMs + 1000);

  clock_.advance_ms(1000);
  jobs = due();
  ASSERT_EQ(jobs.size(), 1U);
  ASSERT_TRUE(service_->note(jobs[0], {.status = 204}));
  EXPECT_EQ(delivery().at("state"), "delivered");
  EXPECT_EQ(delivery().at("attempts"), 2);
  clock_.advance_ms(kDayMs);
  EXPECT_TRUE(due().empty()) << "what was acknowledged is never sent again";

  std::vector<std::string> outcomes;
  for (const audit::Record& record : records_) {
    if (record.action == "webhook.deliver" && record.phase == audit::Phase::result) {
      outcomes.push_back(std::to_string(record.status));
    }
  }
  EXPECT_EQ(outcomes, (std::vector<std::string>{"500", "204"}));
}

TEST_F(WebhookServiceTest, GivesUpAfterADay) {
  add();
  ASSERT_EQ(*service_->announce(kKeyLeaked, "inc_1", key_of(), {}), 1U);
  int sent = 0;
  for (int hour = 0; hour < 40; ++hour) {
    for (const Job& job : due()) {
      ++sent;
      ASSERT_TRUE(service_->note(job, {.error = "connection refused"}));
    }
    clock_.advance_ms(3'600'000);
  }
  EXPECT_EQ(delivery().at("state"), "failed");
  EXPECT_EQ(delivery().at("last_error"), "connection refused");
  EXPECT_EQ(sent, delivery().at("attempts").get<int>());
  EXPECT_GT(sent, 20);
  clock_.advance_ms(30 * kDayMs);
  ASSERT_TRUE(service_->prune());
  EXPECT_TRUE(service_->deliveries(admin_of())->empty());
}

TEST_F(WebhookServiceTest, AnAlteredSecretIsNeverUsed) {
  add();
  auto table = store::WebhookTable(*database_);
  auto row = table.list_webhooks()->front();
  ASSERT_TRUE(table.erase_webhook(row.webhook_id));
  row.tenant = "hr";  // moved to another tenant behind our back
  ASSERT_TRUE(table.insert_webhook(row));
  ASSERT_EQ(*service_->announce(kKeyLeaked, "inc_1", key_of("hr"), {}), 1U);
  EXPECT_TRUE(due().empty());
  EXPECT_NE(delivery().at("last_error").get<std::string>().find("does not open"),
            std::string::npos);
}

TEST_F(WebhookServiceTest, TellsOfKeysThatEndOnceAStage) {
  add();
  auto key = key_of();
  const auto announced = [&] {
    EXPECT_TRUE(service_->announce_expiring({key}));
    return service_->deliveries(admin_of())->size();
  };
  clock_.advance_ms(-4 * kDayMs - 1);
  EXPECT_EQ(announced(), 0U) << "day 75";
  clock_.advance_ms(1);
  EXPECT_EQ(announced(), 1U) << "day 76";
  EXPECT_EQ(announced(), 1U);
  clock_.advance_ms(7 * kDayMs);
  EXPECT_EQ(announced(), 2U);
  clock_.advance_ms(6 * kDayMs);
  EXPECT_EQ(announced(), 3U);
  key.key_id = KeyId("key_rotated");
  key.overlap_until_ms = key.expires_ms;
  EXPECT_EQ(announced(), 3U);
  key.overlap_until_ms = 0;
  key.key_id = KeyId("key_2");
  key.state = identity::KeyState::revoked;
  EXPECT_EQ(announced(), 3U);
  key.state = identity::KeyState::active;
  key.created_ms = key.expires_ms - kDayMs / 2;  // was made for half a day
  EXPECT_EQ(announced(), 3U);
}

TEST_F(WebhookServiceTest, ATestIsQueuedForOneWebhook) {
  const auto added = add();
  add();
  const auto tested = service_->test(admin_of(), added.at("id"));
  ASSERT_TRUE(tested);
  const auto jobs = due();
  ASSERT_EQ(jobs.size(), 1U);
  EXPECT_EQ(jobs[0].row.event, "webhook.test");
  EXPECT_EQ(service_->test(admin_of(), "whk_none").error().code, Code::not_found);
}

}  // namespace
}  // namespace deepmoat::webhook
