// Webhooks and deliveries: what is due, what is sent once, what stays on record.
#include "store/webhook_table.h"

#include <gtest/gtest.h>

#include "base/scratch_folder.h"

namespace deepmoat::store {
namespace {

class WebhookTableTest : public testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    database_.reset();
    auto database = Database::open(folder_ / "deepmoat.db");
    ASSERT_TRUE(database) << database.error().message;
    database_ = *std::move(database);
  }
  [[nodiscard]] WebhookTable table() const { return WebhookTable(*database_); }

  static WebhookRow webhook(const std::string& id) {
    return {.webhook_id = id,
            .tenant = "default",
            .url = "https://hooks.example/a?x='1'",
            .events = "key.leaked key.expiring",
            .sealed_secret = "00ff",
            .created_by = "boss",
            .created_ms = 5,
            .internal = id == "whk_1"};
  }
  static DeliveryRow delivery(const std::string& id, UnixMillis next_ms) {
    return {.delivery_id = id,
            .webhook_id = "whk_1",
            .tenant = "default",
            .event = "key.leaked",
            .subject = "inc_" + id,
            .body = R"({"reason":"it's \"there\""})",
            .created_ms = 10,
            .state = "waiting",
            .next_ms = next_ms};
  }

  ScratchFolder folder_;
  std::unique_ptr<Database> database_;
};

TEST_F(WebhookTableTest, KeepsRowsOverAReopening) {
  ASSERT_TRUE(table().insert_webhook(webhook("whk_1")));
  ASSERT_TRUE(table().insert_webhook(webhook("whk_2")));
  ASSERT_TRUE(table().insert_delivery(delivery("dlv_1", 100)));
  reopen();
  EXPECT_EQ(*table().list_webhooks(),
            (std::vector<WebhookRow>{webhook("whk_1"), webhook("whk_2")}));
  EXPECT_EQ(*table().list_deliveries("", 9), std::vector<DeliveryRow>{delivery("dlv_1", 100)});
  EXPECT_FALSE(table().insert_webhook(webhook("whk_1")));
}

TEST_F(WebhookTableTest, GivesOutOfEachWebhookWhatIsDueForLongest) {
  ASSERT_TRUE(table().insert_webhook(webhook("whk_1")));
  for (const auto& [id, next_ms] : {std::pair("dlv_1", 300), {"dlv_2", 100}, {"dlv_3", 200}}) {
    ASSERT_TRUE(*table().insert_delivery(delivery(id, next_ms)));
  }
  EXPECT_TRUE(table().due_deliveries(99)->empty());
  EXPECT_EQ(*table().next_due_ms(99), std::optional<UnixMillis>(100));
  const auto due = table().due_deliveries(200);
  ASSERT_EQ(due->size(), 1U);
  EXPECT_EQ(due->front().delivery_id, "dlv_2");
  EXPECT_EQ(*table().next_due_ms(200), std::optional<UnixMillis>(300));
  EXPECT_EQ(*table().next_due_ms(300), std::nullopt);

  DeliveryRow sent = delivery("dlv_2", 100);
  sent.state = "delivered";
  sent.attempts = 3;
  sent.last_ms = 150;
  sent.last_status = 204;
  ASSERT_TRUE(table().update_delivery(sent));
  EXPECT_EQ(table().due_deliveries(200)->front().delivery_id, "dlv_3");
  EXPECT_EQ(table().list_deliveries("", 9)->at(1), sent);
  EXPECT_EQ(table().update_delivery(sent).error().code, Code::not_found);  // it has ended
  EXPECT_EQ(table().update_delivery(delivery("dlv_9", 1)).error().code, Code::not_found);
}

TEST_F(WebhookTableTest, WhatWaitsForOneWebhookHidesNothingOfAnother) {
  ASSERT_TRUE(table().insert_webhook(webhook("whk_1")));
  ASSERT_TRUE(table().insert_webhook(webhook("whk_2")));
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(*table().insert_delivery(delivery("dlv_" + std::to_string(i), i)));
  }
  DeliveryRow other = delivery("dlv_other", 1000);
  other.webhook_id = "whk_2";
  other.tenant = "hr";
  ASSERT_TRUE(*table().insert_delivery(other));
  const auto due = table().due_deliveries(1000);
  ASSERT_EQ(due->size(), 2U);
  EXPECT_EQ(due->at(0).delivery_id, "dlv_0");
  EXPECT_EQ(due->at(1), other);
  EXPECT_EQ(*table().list_deliveries("hr", 9), std::vector<DeliveryRow>{other});
  EXPECT_EQ(table().list_deliveries("default", 9)->size(), 9U);
  EXPECT_EQ(*table().count_waiting("whk_1", "key.leaked"), 300);
  EXPECT_EQ(*table().count_waiting("whk_1", "key.expiring"), 0);
}

TEST_F(WebhookTableTest, OneEventOfOneSubjectIsSentOnce) {
  ASSERT_TRUE(*table().insert_delivery(delivery("dlv_1", 1)));
  DeliveryRow again = delivery("dlv_2", 1);
  again.subject = "inc_dlv_1";
  EXPECT_FALSE(*table().insert_delivery(again));
  again.webhook_id = "whk_2";
  EXPECT_TRUE(*table().insert_delivery(again));
}

TEST_F(WebhookTableTest, ARemovedWebhookGetsNothingMore) {
  ASSERT_TRUE(table().insert_webhook(webhook("whk_1")));
  ASSERT_TRUE(*table().insert_delivery(delivery("dlv_1", 1)));
  ASSERT_TRUE(table().erase_webhook("whk_1"));
  EXPECT_TRUE(table().list_webhooks()->empty());
  EXPECT_TRUE(table().due_deliveries(9)->empty());
  EXPECT_EQ(table().list_deliveries("", 9)->front().state, "dropped");
  EXPECT_EQ(table().erase_webhook("whk_1").error().code, Code::not_found);
}

TEST_F(WebhookTableTest, ForgetsOnlyWhatHasEnded) {
  ASSERT_TRUE(*table().insert_delivery(delivery("dlv_1", 1)));
  DeliveryRow failed = delivery("dlv_2", 1);
  failed.state = "failed";
  ASSERT_TRUE(*table().insert_delivery(failed));
  ASSERT_TRUE(table().prune_deliveries(10));
  EXPECT_EQ(table().list_deliveries("", 9)->size(), 2U);
  ASSERT_TRUE(table().prune_deliveries(11));
  EXPECT_EQ(*table().list_deliveries("", 9), std::vector<DeliveryRow>{delivery("dlv_1", 1)});
}

}  // namespace
}  // namespace deepmoat::store
