#include "webhook/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/hex.h"
#include "base/random.h"
#include "identity/api_key.h"

namespace deepmoat::webhook {

namespace {

using identity::Actor;
using identity::AuditedAction;
using Json = WebhookService::Json;

constexpr std::size_t kIdRandomBytes = 12;
constexpr std::size_t kSecretRandomBytes = 32;
constexpr std::size_t kWebhooksMax = 100;  // of one tenant
constexpr std::int64_t kDeliveriesShown = 500;
constexpr std::int64_t kDeliveriesKept = 10'000;
constexpr std::int64_t kDayMs = 24LL * 60 * 60 * 1000;
constexpr UnixMillis kKeptMs = 30 * kDayMs;
// Before a key's end; the first is when its answers begin to warn (day 76 of 90).
constexpr std::array<std::int64_t, 3> kNoticeDays{1, 7, identity::kKeyNoticeMs / kDayMs};
constexpr std::size_t kErrorBytesMax = 200;

Result<std::string> new_id(std::string_view prefix) {
  TRY(const std::string random, random_bytes(kIdRandomBytes));
  return std::string(prefix) + to_hex(random);
}

crypto::FieldPlace place_of_secret(const store::WebhookRow& row) {
  return {.tenant = row.tenant,
          .table = "webhooks",
          .column = "sealed_secret",
          .row = row.webhook_id,
          .version = 1};  // a secret never changes
}

std::vector<std::string> split_events(const std::string& events) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at < events.size();) {
    const std::size_t end = std::min(events.find(' ', at), events.size());
    names.push_back(events.substr(at, end - at));
    at = end + 1;
  }
  return names;
}

bool holds(const auto& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool wants(const store::WebhookRow& row, std::string_view event) {
  return holds(split_events(row.events), event);
}

Result<std::string> join_events(const std::vector<std::string>& events) {
  std::string joined;
  for (const std::string& event : events) {
    if (!holds(kEvents, event)) {
      return fail(Code::invalid_argument, fmt::format("events: \"{}\" is none; there are {}", event,
                                                      fmt::join(kEvents, ", ")));
    }
    if (!holds(split_events(joined), event)) {
      joined += (joined.empty() ? "" : " ") + event;
    }
  }
  if (joined.empty()) {
    return fail(Code::invalid_argument,
                fmt::format("events: name at least one of {}", fmt::join(kEvents, ", ")));
  }
  return joined;
}

Json webhook_json(const store::WebhookRow& row) {
  return {{"id", row.webhook_id},
          {"url", row.url},
          {"events", split_events(row.events)},
          {"tenant", row.tenant},
          {"created_by", row.created_by},
          {"created_at", row.created_ms / 1000}};
}

Json delivery_json(const store::DeliveryRow& row) {
  Json json = {{"id", row.delivery_id},
               {"webhook", row.webhook_id},
               {"event", row.event},
               {"subject", row.subject},
               {"state", row.state},
               {"attempts", row.attempts},
               {"created_at", row.created_ms / 1000}};
  if (row.attempts > 0) {
    json["last_attempt_at"] = row.last_ms / 1000;
    json["last_status"] = row.last_status;
    json["last_error"] = row.last_error;
  }
  if (row.state == "waiting") {
    json["next_attempt_at"] = row.next_ms / 1000;
  }
  return json;
}

Json key_json(const identity::KeyInfo& key) {
  return {{"id", key.key_id.value()},     {"client_id", key.client_id.value()},
          {"tenant", key.tenant.value()}, {"role", key.role},
          {"label", key.label},           {"expires_at", key.expires_ms / 1000}};
}

// The program itself, where nobody asked.
Actor sender_actor(const store::DeliveryRow& row) {
  Actor actor;
  actor.operator_id = "webhook_sender";
  actor.tenant = TenantId(row.tenant);
  actor.authentication = "none";
  actor.request_id = row.delivery_id;
  return actor;
}

AuditedAction sending(const store::DeliveryRow& row) {
  return {audit::Operation::execute, "webhook.deliver", row.webhook_id + " " + row.event, ""};
}

}  // namespace

WebhookService::WebhookService(store::Database& database, identity::AppendAudit append,
                               crypto::FieldCipher& cipher, const Clock& clock)
    : table_(database), append_(std::move(append)), cipher_(cipher), clock_(clock) {}

Result<Json> WebhookService::add(const Actor& actor, const std::string& url,
                                 const std::vector<std::string>& events,
                                 const std::string& tenant) {
  const auto body = [&](AuditedAction& action) -> Result<Json> {
    CHECK_OK(parse_url(url));
    CHECK_OK(identity::check_name("tenant", tenant));
    if (!identity::reaches(actor.tenant, TenantId(tenant))) {
      return fail(Code::permission_denied,
                  "tenant: webhooks of another tenant need an "
                  "administrator of tenant \"default\"");
    }
    store::WebhookRow row{.tenant = tenant, .url = url, .created_by = actor.operator_id};
    TRY(row.events, join_events(events));
    TRY(const auto others, table_.list_webhooks());
    if (static_cast<std::size_t>(std::ranges::count(others, tenant, &store::WebhookRow::tenant)) >=
        kWebhooksMax) {
      return fail(Code::invalid_argument,
                  fmt::format("a tenant may have {} webhooks; remove one first", kWebhooksMax));
    }
    TRY(row.webhook_id, new_id("whk_"));
    action.resource = row.webhook_id;
    row.created_ms = clock_.unix_ms();
    TRY(std::string random, random_bytes(kSecretRandomBytes));
    const Secret bytes(std::move(random));
    const Secret secret("dmwh_" + to_hex(bytes.reveal()));
    TRY(const std::string sealed, cipher_.seal(place_of_secret(row), secret.reveal()));
    row.sealed_secret = to_hex(sealed);
    CHECK_OK(table_.insert_webhook(row));
    Json json = webhook_json(row);
    json["secret"] = secret.reveal();
    return json;
  };
  return identity::audited<Json>(append_, actor, {audit::Operation::write, "webhook.add", "", ""},
                                 body);
}

Result<Json> WebhookService::list(const Actor& actor) {
  return identity::audited<Json>(append_, actor, {audit::Operation::read, "webhook.list", "", ""},
                                 [&](AuditedAction&) -> Result<Json> {
                                   TRY(const auto rows, table_.list_webhooks());
                                   Json list = Json::array();
                                   for (const store::WebhookRow& row : rows) {
                                     if (identity::reaches(actor.tenant, TenantId(row.tenant))) {
                                       list.push_back(webhook_json(row));
                                     }
                                   }
                                   return list;
                                 });
}

Result<store::WebhookRow> WebhookService::find(const Actor& actor, const std::string& webhook_id) {
  TRY(const auto rows, table_.list_webhooks());
  const auto found = std::ranges::find(rows, webhook_id, &store::WebhookRow::webhook_id);
  if (found == rows.end() || !identity::reaches(actor.tenant, TenantId(found->tenant))) {
    return fail(Code::not_found, "no such webhook");
  }
  return *found;
}

Result<Json> WebhookService::remove(const Actor& actor, const std::string& webhook_id) {
  return identity::audited<Json>(append_, actor,
                                 {audit::Operation::erase, "webhook.remove", webhook_id, ""},
                                 [&](AuditedAction&) -> Result<Json> {
                                   TRY(const store::WebhookRow row, find(actor, webhook_id));
                                   CHECK_OK(table_.erase_webhook(row.webhook_id));
                                   return webhook_json(row);
                                 });
}

Result<Json> WebhookService::test(const Actor& actor, const std::string& webhook_id) {
  return identity::audited<Json>(
      append_, actor, {audit::Operation::write, "webhook.test", webhook_id, ""},
      [&](AuditedAction&) -> Result<Json> {
        TRY(const store::WebhookRow row, find(actor, webhook_id));
        TRY(const std::string subject, new_id("test_"));
        CHECK_OK(queue(row, kTest, subject, {{"message", "This is a test."}}));
        return Json{{"webhook", row.webhook_id}, {"subject", subject}};
      });
}

Result<Json> WebhookService::deliveries(const Actor& actor) {
  return identity::audited<Json>(append_, actor,
                                 {audit::Operation::read, "webhook.deliveries", "", ""},
                                 [&](AuditedAction&) -> Result<Json> {
                                   TRY(const auto rows, table_.list_deliveries(kDeliveriesKept));
                                   Json list = Json::array();
                                   for (const store::DeliveryRow& row : rows) {
                                     if (identity::reaches(actor.tenant, TenantId(row.tenant)) &&
                                         list.size() < kDeliveriesShown) {
                                       list.push_back(delivery_json(row));
                                     }
                                   }
                                   return list;
                                 });
}

Result<bool> WebhookService::queue(const store::WebhookRow& webhook, std::string_view event,
                                   const std::string& subject, Json content) {
  store::DeliveryRow row{.webhook_id = webhook.webhook_id,
                         .tenant = webhook.tenant,
                         .event = std::string(event),
                         .subject = subject,
                         .created_ms = clock_.unix_ms(),
                         .state = "waiting"};
  TRY(row.delivery_id, new_id("dlv_"));
  row.next_ms = row.created_ms;
  Json body = {{"id", row.delivery_id}, {"event", event}, {"created_at", row.created_ms / 1000}};
  body.update(content);
  row.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  TRY(const bool fresh, table_.insert_delivery(row));
  if (fresh && wake_) {
    wake_();
  }
  return fresh;
}

Result<std::size_t> WebhookService::announce(std::string_view event, const std::string& subject,
                                             const identity::KeyInfo& key, Json more) {
  Json content = {{"key", key_json(key)}};
  if (more.is_object()) {
    content.update(more);
  }
  return tell_all(event, subject, key.tenant, content);
}

Result<std::size_t> WebhookService::announce_approval(const std::string& approval_id,
                                                      const TenantId& tenant, const Json& content) {
  return tell_all(kApprovalWaiting, approval_id, tenant, {{"approval", content}});
}

Result<std::size_t> WebhookService::tell_all(std::string_view event, const std::string& subject,
                                             const TenantId& tenant, const Json& content) {
  TRY(const auto webhooks, table_.list_webhooks());
  std::size_t queued = 0;
  for (const store::WebhookRow& webhook : webhooks) {
    if (wants(webhook, event) && identity::reaches(TenantId(webhook.tenant), tenant)) {
      TRY(const bool fresh, queue(webhook, event, subject, content));
      queued += fresh ? 1 : 0;
    }
  }
  return queued;
}

Result<> WebhookService::announce_expiring(const std::vector<identity::KeyInfo>& keys) {
  for (const identity::KeyInfo& key : keys) {
    const std::int64_t left_ms = key.expires_ms - clock_.unix_ms();
    const bool short_lived = key.expires_ms - key.created_ms <= kDayMs;  // its end is no news
    const bool rotated = key.overlap_until_ms != 0;  // its owner has the next one
    if (key.state != identity::KeyState::active || short_lived || rotated) {
      continue;
    }
    const auto* const stage = std::ranges::find_if(
        kNoticeDays, [&](std::int64_t days) { return left_ms <= days * kDayMs; });
    if (stage != kNoticeDays.end()) {
      const std::string subject = fmt::format("{} {}d", key.key_id.value(), *stage);
      CHECK_OK(announce(kKeyExpiring, subject, key, {{"within_days", *stage}}));
    }
  }
  return {};
}

Result<DueJobs> WebhookService::take_due(std::size_t count, const std::set<std::string>& busy) {
  const UnixMillis now_ms = clock_.unix_ms();
  TRY(const auto rows, table_.due_deliveries(now_ms, kDeliveriesKept));
  TRY(const auto webhooks, table_.list_webhooks());
  std::set<std::string> taken = busy;
  DueJobs due;
  for (const store::DeliveryRow& row : rows) {
    const auto webhook =
        std::ranges::find(webhooks, row.webhook_id, &store::WebhookRow::webhook_id);
    if (due.jobs.size() >= count || webhook == webhooks.end() ||
        !taken.insert(row.webhook_id).second) {
      continue;
    }
    TRY(audit::Record intent, identity::begin_action(append_, sender_actor(row), sending(row)));
    Job job{.row = row, .url = webhook->url, .secret = Secret(), .intent = std::move(intent)};
    const auto sealed = from_hex(webhook->sealed_secret);
    auto secret = sealed ? cipher_.open(place_of_secret(*webhook), *sealed)
                         : Result<Secret>(std::unexpected(sealed.error()));
    if (!secret) {
      // Altered from outside, or another key file's: never sent unsigned.
      CHECK_OK(note(job, {.error = "the webhook's secret does not open; add it anew"}));
      continue;
    }
    job.secret = *std::move(secret);
    due.jobs.push_back(std::move(job));
  }
  TRY(const auto next_ms, table_.next_due_ms(now_ms));
  due.next_ms = next_ms.value_or(0);
  return due;
}

Result<> WebhookService::note(const Job& job, const Outcome& outcome) {
  store::DeliveryRow row = job.row;
  audit::Record record = job.intent;
  row.attempts += 1;
  row.last_ms = clock_.unix_ms();
  row.last_status = outcome.status;
  row.last_error = outcome.error.substr(0, kErrorBytesMax);
  if (outcome.error.empty()) {
    row.state = "delivered";
  } else if (const auto next = next_attempt_ms(row.created_ms, row.attempts, row.last_ms)) {
    row.next_ms = *next;
  } else {
    row.state = "failed";
  }
  const auto updated = table_.update_delivery(row);
  if (!updated && updated.error().code != Code::not_found) {  // dropped while it was sent
    return updated;
  }
  record.status = outcome.status;
  const Error error{Code::unavailable, outcome.error};
  CHECK_OK(identity::end_action(append_, std::move(record), sending(row),
                                outcome.error.empty() ? nullptr : &error));
  return {};
}

Result<> WebhookService::prune() {
  return table_.prune_deliveries(clock_.unix_ms() - kKeptMs);
}

}  // namespace deepmoat::webhook
