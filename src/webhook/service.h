// Webhooks: who is told of what, and what became of it. Administrators add, list, test and remove
// them; the rest of the program announces events; the sender takes what is due and reports back.
// Everything is in the database, so that it survives a restart, and in the audit log. Blocking; on
// the database's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "audit/record.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "crypto/field_cipher.h"
#include "identity/audited_action.h"
#include "identity/key_service.h"
#include "store/webhook_table.h"
#include "webhook/message.h"

namespace deepmoat::webhook {

// One message to send now. Its audit intent is durable.
struct Job {
  store::DeliveryRow row;
  std::string url;
  Secret secret;
  audit::Record intent;
};

// What came of a job.
struct Outcome {
  int status = 0;     // HTTP; 0: no answer came
  std::string error;  // empty for 2xx
};

struct DueJobs {
  std::vector<Job> jobs;
  UnixMillis next_ms = 0;  // when to ask again at the latest; 0: when something was announced
};

class WebhookService {
 public:
  using Json = nlohmann::ordered_json;

  // All outlive it.
  WebhookService(store::Database& database, identity::AppendAudit append,
                 crypto::FieldCipher& cipher, const Clock& clock);

  // Called on this thread whenever something new waits to be sent.
  void on_queued(std::function<void()> wake) { wake_ = std::move(wake); }

  // For administrators. Errors as KeyService has them: another tenant's webhooks do not exist.
  // `events`: of kEvents, at least one. The answer has "secret", the only time it is shown.
  Result<Json> add(const identity::Actor& actor, const std::string& url,
                   const std::vector<std::string>& events, const std::string& tenant);
  Result<Json> list(const identity::Actor& actor);
  Result<Json> remove(const identity::Actor& actor, const std::string& webhook_id);
  // Queues a "webhook.test".
  Result<Json> test(const identity::Actor& actor, const std::string& webhook_id);
  // The newest first, at most 500.
  Result<Json> deliveries(const identity::Actor& actor);

  // Queues `event` about a key for every webhook that asked for it and reaches the key's tenant;
  // a second time for the same `subject` changes nothing. Says for how many it is new.
  Result<std::size_t> announce(std::string_view event, const std::string& subject,
                               const identity::KeyInfo& key, Json more);
  // The same about what waits for a second person, `content`.
  Result<std::size_t> announce_approval(const std::string& approval_id, const TenantId& tenant,
                                        const Json& content);
  // Announces the keys that end within 14 days, again within a week, and again within a day; not
  // those that live a day or less, nor those that were rotated.
  Result<> announce_expiring(const std::vector<identity::KeyInfo>& keys);

  // For the sender: at most `count`, one of a webhook, none of `busy` webhooks.
  Result<DueJobs> take_due(std::size_t count, const std::set<std::string>& busy);
  // May be repeated after an error.
  Result<> note(const Job& job, const Outcome& outcome);

  // Forgets what ended 30 days ago and more.
  Result<> prune();

 private:
  Result<store::WebhookRow> find(const identity::Actor& actor, const std::string& webhook_id);
  Result<std::size_t> tell_all(std::string_view event, const std::string& subject,
                               const TenantId& tenant, const Json& content);
  Result<bool> queue(const store::WebhookRow& webhook, std::string_view event,
                     const std::string& subject, Json content);

  store::WebhookTable table_;
  identity::AppendAudit append_;
  crypto::FieldCipher& cipher_;
  const Clock& clock_;
  std::function<void()> wake_;
};

}  // namespace deepmoat::webhook
