// The rows of webhooks and of what was and is to be sent to them. One thread at a time, as all of
// Database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/database.h"

namespace deepmoat::store {

struct WebhookRow {
  std::string webhook_id;  // "whk_" + 24 hex digits
  std::string tenant;
  std::string url;
  std::string events;         // names, one space between two
  std::string sealed_secret;  // hex; see webhook/service.cc for its place
  std::string created_by;
  UnixMillis created_ms = 0;
  bool internal = false;  // may lead to this machine and into its networks

  bool operator==(const WebhookRow&) const = default;
};

struct DeliveryRow {
  std::string delivery_id;  // "dlv_" + 24 hex digits
  std::string webhook_id;
  std::string tenant;   // of the webhook
  std::string event;    // "key.leaked", ...
  std::string subject;  // one event of one webhook about one subject is sent once
  std::string body;     // JSON
  UnixMillis created_ms = 0;
  std::string state;  // "waiting", "delivered", "failed" (given up), "dropped" (webhook removed)
  std::int64_t attempts = 0;
  UnixMillis next_ms = 0;        // waiting: not before
  UnixMillis last_ms = 0;        // of the last attempt; 0: none yet
  std::int64_t last_status = 0;  // HTTP; 0: none came
  std::string last_error;

  bool operator==(const DeliveryRow&) const = default;
};

class WebhookTable {
 public:
  // `database` outlives it.
  explicit WebhookTable(Database& database) : database_(database) {}

  Result<> insert_webhook(const WebhookRow& row);
  // Oldest first.
  Result<std::vector<WebhookRow>> list_webhooks();
  // What waits for it is dropped; what was sent stays on record. Code::not_found.
  Result<> erase_webhook(std::string_view webhook_id);

  // False: the webhook has a delivery of this event and subject.
  Result<bool> insert_delivery(const DeliveryRow& row);
  // Of each webhook the one that waits and may be sent at `now_ms` for longest, these in the same
  // order: however many wait for one webhook, they hide nothing of another's.
  Result<std::vector<DeliveryRow>> due_deliveries(UnixMillis now_ms);
  // How many of `event` wait for one webhook.
  Result<std::int64_t> count_waiting(std::string_view webhook_id, std::string_view event);
  // When the next of those that wait after `now_ms` may be sent.
  Result<std::optional<UnixMillis>> next_due_ms(UnixMillis now_ms);
  // Replaces what an attempt changes: from `state` on. Code::not_found when it does not wait.
  Result<> update_delivery(const DeliveryRow& row);
  // The newest first, of webhooks of `tenant`; empty: of all.
  Result<std::vector<DeliveryRow>> list_deliveries(std::string_view tenant, std::int64_t count);
  // Forgets those that ended before `before_ms`.
  Result<> prune_deliveries(UnixMillis before_ms);

 private:
  Database& database_;
};

}  // namespace deepmoat::store
