// What the gateway works with; put together in cli/serve.cc, outlives every connection.
#pragma once

#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <functional>
#include <memory>

#include "audit/log.h"
#include "backend/model_fleet.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/secret.h"
#include "catalog/catalog.h"
#include "crypto/custody_watch.h"
#include "crypto/envelope.h"
#include "gateway/metrics.h"
#include "gateway/models.h"
#include "identity/approvals.h"
#include "identity/authenticator.h"
#include "identity/failure_limiter.h"
#include "identity/key_rotation.h"
#include "identity/key_service.h"
#include "identity/second_factor.h"
#include "identity/tenant_service.h"
#include "quota/ledger.h"

namespace deepmoat::gateway {

// The configuration in force. A reload swaps it; a call keeps the one it began with.
class LiveConfig {
 public:
  explicit LiveConfig(Config config)
      : current_(std::make_shared<const Config>(std::move(config))) {}
  [[nodiscard]] std::shared_ptr<const Config> get() const { return current_.load(); }
  void replace(Config config) { current_.store(std::make_shared<const Config>(std::move(config))); }

 private:
  std::atomic<std::shared_ptr<const Config>> current_;
};

// The root keys and what rests on them; all or nothing.
struct Custody {
  crypto::KeyCustody& keys;
  crypto::CustodyWatch& watch;
  crypto::Envelope& envelope;
};
struct AuditDesk;
struct LeakDesk;
struct PeopleDesk;
struct OversightDesk;

struct Services {
  const Clock& clock;
  LiveConfig& config;
  audit::Log& audit_log;
  const Secret& fingerprint_secret;
  identity::Authenticator& authenticator;
  identity::FailureLimiter& failures;
  identity::KeyService& keys;
  identity::TenantService& tenants;
  quota::Ledger& ledger;
  const Models& models;
  boost::asio::thread_pool& blocking;  // one thread: the database's
  std::atomic<bool> draining = false;
  Metrics metrics = {};
  const AuditDesk* audit_desk = nullptr;  // none: nobody reads the log, and no receipts
  backend::ModelFleet* fleet = nullptr;   // none: the models stay as they are
  const Custody* custody = nullptr;       // none: the root keys are not watched
  catalog::Catalog* catalog = nullptr;    // none: no imported models; on the blocking thread only
  identity::SecondFactors* second_factors = nullptr;  // these two on the blocking thread only
  identity::KeyRotation* rotation = nullptr;
  identity::Approvals* approvals = nullptr;     // likewise; none: what needs two persons is refused
  const LeakDesk* leak_desk = nullptr;          // none: keys are revoked, and that is all
  boost::asio::thread_pool* reports = nullptr;  // with `leak_desk`: for long reading of the log
  const PeopleDesk* people_desk = nullptr;      // none: nobody signs in
  boost::asio::thread_pool* sign_ins = nullptr;  // with `people_desk`: for hashing passwords
  std::atomic<int> sign_ins_waiting = 0;
  std::atomic<int> log_reads_waiting = 0;                     // with `audit_desk`
  const OversightDesk* oversight = nullptr;                   // none: no content is kept
  std::function<std::uint64_t()> open_connections = nullptr;  // set by the server at its start
};

}  // namespace deepmoat::gateway
