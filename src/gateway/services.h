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
#include "gateway/metrics.h"
#include "gateway/models.h"
#include "identity/authenticator.h"
#include "identity/failure_limiter.h"
#include "identity/key_service.h"
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

struct LeakDesk;

struct Services {
  const Clock& clock;
  LiveConfig& config;
  audit::Log& audit_log;
  const Secret& fingerprint_secret;
  identity::Authenticator& authenticator;
  identity::FailureLimiter& failures;
  identity::KeyService& keys;
  quota::Ledger& ledger;
  const Models& models;
  boost::asio::thread_pool& blocking;  // one thread: the database's
  std::atomic<bool> draining = false;
  Metrics metrics = {};
  backend::ModelFleet* fleet = nullptr;  // none: the models stay as they are
  catalog::Catalog* catalog = nullptr;   // none: no imported models; on the blocking thread only
  const LeakDesk* leak_desk = nullptr;   // none: keys are revoked, and that is all
  boost::asio::thread_pool* reports = nullptr;  // with `leak_desk`: for long reading of the log
  std::function<std::uint64_t()> open_connections = nullptr;  // set by the server at its start
};

}  // namespace deepmoat::gateway
