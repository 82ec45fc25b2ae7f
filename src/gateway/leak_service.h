// What is done when a key is in the wrong hands: it is refused everywhere and its streams are cut,
// what it did is counted from the audit log, a signed record of the incident is kept, and those
// who asked to be told are told. The running server and the command line without one use it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "audit/key_usage.h"
#include "base/clock.h"
#include "base/result.h"
#include "crypto/signature.h"
#include "identity/audited_action.h"
#include "identity/key_service.h"
#include "identity/successors.h"
#include "incident/folder.h"
#include "webhook/service.h"

namespace deepmoat::gateway {

class LeakService {
 public:
  using Json = nlohmann::ordered_json;

  // What is referred to outlives the service.
  struct Parts {
    identity::KeyService& keys;
    identity::AppendAudit append;
    std::filesystem::path audit_folder;
    std::filesystem::path incident_folder;
    const crypto::SigningKey& signing_key;
    webhook::WebhookService& webhooks;
    identity::Successors& successors;
    const Clock& clock;
  };
  explicit LeakService(Parts parts);

  // The three steps of a leak, in this order. The first ends the danger and takes milliseconds; on
  // the database's thread.
  Result<identity::LeakedKey> withdraw(const identity::Actor& actor, const std::string& reference,
                                       const std::string& reason);
  // Reads 30 days of the audit log: as long as that takes. On any thread.
  [[nodiscard]] audit::KeyUsage usage(const identity::LeakedKey& leaked) const;
  // Signs and keeps the record, and queues the webhooks' messages; on the database's thread.
  // {"key","incident","signature","webhooks","successor"}.
  Result<Json> record(const identity::Actor& actor, const identity::LeakedKey& leaked,
                      const std::string& reason, audit::KeyUsage usage);

  // Incidents of keys of tenants that the actor reaches. On the database's thread.
  Result<Json> list(const identity::Actor& actor);
  // The signed file as it stands. Code::not_found.
  Result<Json> show(const identity::Actor& actor, const std::string& id);
  // {"algorithm","key","public_key"}: what verifies the records.
  Result<Json> public_key(const identity::Actor& actor);

 private:
  Json successor_of(const identity::Actor& actor, const identity::LeakedKey& leaked);
  Json rotated_advice(const identity::KeyInfo& key);

  Parts parts_;
  incident::IncidentFolder incidents_;
};

// How the owner of a withdrawn key that was not rotated gets the next one: {"how": a sentence,
// ...}. `waiting`: the next key, if one waits for its client.
[[nodiscard]] nlohmann::ordered_json successor_advice(const identity::KeyInfo& key,
                                                      const identity::WaitingKey* waiting);

}  // namespace deepmoat::gateway
