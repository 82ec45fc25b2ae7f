// Webhooks: who is told of what, and what became of it. Administrators add, list, test and remove
// them; the rest of the program announces events; the sender takes what is due and reports back.
// Everything is in the database, so that it survives a restart, and in the audit log. Blocking; on
// the database's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
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
#include "webhook/reach.h"

namespace deepmoat::webhook {

// Webhooks with a message on its way, and their tenants.
using OnTheirWay = std::map<std::string, std::string>;

// One message to send now. Its audit intent is durable.
struct Job {
  store::DeliveryRow row;
  std::string url;
  Secret secret;
  Reach reach = Reach::internet;
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

  // All outlive it. `of_tenants`: how far webhooks lead that administrators of other tenants than
  // the home tenant add.
  WebhookService(store::Database& database, identity::AppendAudit append,
                 crypto::FieldCipher& cipher, const Clock& clock,
                 Reach of_tenants = Reach::internet);

  // Called on this thread whenever something new waits to be sent.
  void on_queued(std::function<void()> wake) { wake_ = std::move(wake); }

  // For administrators. Errors as KeyService has them: another tenant's webhooks do not exist.
  // `events`: of kEvents, at least one. The answer has "secret", the only time it is shown.
  Result<Json> add(const identity::Actor& actor, const std::string& url,
                   const std::vector<std::string>& events, const std::string& tenant);
  Result<Json> list(const identity::Actor& actor);
  Result<Json> remove(const identity::Actor& actor, const std::string& webhook_id);
  // Queues a "webhook.test". Code::resource_exhausted when ten of them wait for it.
  Result<Json> test(const identity::Actor& actor, const std::string& webhook_id);
  // The newest first, at most 500.
  Result<Json> deliveries(const identity::Actor& actor);

  // Queues `event` about a key for every webhook that asked for it and reaches the key's tenant;
  // a second time for the same `subject` changes nothing. Says for how many it is new.
  Result<std::size_t> announce(std::string_view event, const std::string& subject,
                               const identity::KeyInfo& key, const Json& more);
  // The same about what waits for a second person, `content`.
  Result<std::size_t> announce_approval(const std::string& approval_id, const TenantId& tenant,
                                        const Json& content);
  // Announces the keys that end within 14 days, again within a week, and again within a day; not
  // those that live a day or less, nor those that were rotated. Begins at the key `from` and ends
  // after some hundred messages, so that others get their turn on this thread; says where to go on.
  Result<std::size_t> announce_expiring(const std::vector<identity::KeyInfo>& keys,
                                        std::size_t from);

  // For the sender: at most `count`, one of a webhook, none of those that are busy, with these four
  // of a tenant. First of those tenants that have the fewest on their way, so that the slow
  // receivers of one do not hold up another's messages.
  Result<DueJobs> take_due(std::size_t count, const OnTheirWay& busy);
  // May be repeated after an error.
  Result<> note(const Job& job, const Outcome& outcome);

  // Forgets what ended 30 days ago and more.
  Result<> prune();

 private:
  Result<store::WebhookRow> find(const identity::Actor& actor, const std::string& webhook_id);
  Result<std::size_t> tell_all(std::string_view event, const std::string& subject,
                               const TenantId& tenant, const Json& content);
  Result<std::size_t> queue_for_all(const std::vector<store::WebhookRow>& webhooks,
                                    std::string_view event, const std::string& subject,
                                    const TenantId& tenant, const Json& content,
                                    std::size_t* asked);
  Result<bool> queue(const store::WebhookRow& webhook, std::string_view event,
                     const std::string& subject, Json content);

  store::Database& database_;
  store::WebhookTable table_;
  identity::AppendAudit append_;
  crypto::FieldCipher& cipher_;
  const Clock& clock_;
  const Reach of_tenants_;
  std::function<void()> wake_;
};

}  // namespace deepmoat::webhook
