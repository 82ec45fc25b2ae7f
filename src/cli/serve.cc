// `deepmoat serve`: puts the parts together, runs until a signal says otherwise.
#include <fmt/format.h>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <initializer_list>
#include <memory>

#include "base/log.h"
#include "cli/audit_config.h"
#include "cli/command.h"
#include "cli/installation.h"
#include "cli/retention_keeper.h"
#include "cli/serve_models.h"
#include "cli/serve_options.h"
#include "crypto/certificate.h"
#include "gateway/audit_admin.h"
#include "gateway/server.h"
#include "gateway/webhook_sender.h"
#include "review/index_keeper.h"

namespace deepmoat::cli {

namespace {

constexpr std::int64_t kLastWordsS = 2;  // for the audit records of calls that were cut
constexpr std::int64_t kCanaryEndMs = 10'000;
constexpr std::chrono::seconds kPlacesEnd{15};
constexpr unsigned kLogReaders = 2;  // a report takes seconds; a receipt does not wait for it

// Signals are taken by the main thread alone, one at a time; workers start with none blocked.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&signals, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write, not our end
  return signals;
}

Result<gateway::ServerOptions> server_options(const DataFolder& folder, const Config& config,
                                              const Clock& clock) {
  gateway::ServerOptions options;
  options.local_socket = folder.socket();
  const std::filesystem::path client_ca = folder.tls() / crypto::kCaCertificateFile;
  if (!config.tls.certificate.empty()) {
    options.certificate = config.tls.certificate;
    options.private_key = config.tls.private_key;
    std::error_code error;
    if (std::filesystem::exists(client_ca, error)) {  // from the first client certificate on
      options.client_ca = client_ca;
    }
    return options;
  }
  TRY(const crypto::Certificates made,
      crypto::ensure_certificates({.directory = folder.tls(), .names = config.tls.names},
                                  clock.unix_ms()));
  if (made.made_now) {
    log::info("made a server certificate; give the CA's certificate to clients",
              {{"ca", made.ca_certificate.string()}, {"fingerprint", made.fingerprint}});
  }
  options.certificate = made.server_certificate;
  options.private_key = made.server_key;
  options.client_ca = client_ca;
  return options;
}

// What would only be found out when the model is loaded, which may be later.
Result<> check_model_files(const Config& config) {
  for (const ModelConfig& model : config.models) {
    std::error_code error;
    if (!model.path.empty() && !std::filesystem::is_regular_file(model.path, error)) {
      return fail(Code::not_found, "the model's file " + model.path + " does not exist");
    }
  }
  return {};
}

quota::Limits quota_limits(const Config& config) {
  quota::Limits limits;
  limits.requests_per_minute = static_cast<std::uint32_t>(config.limits.requests_per_minute);
  limits.tokens_per_minute = static_cast<std::uint32_t>(config.limits.tokens_per_minute);
  limits.calls_of_key_max = static_cast<std::uint32_t>(config.limits.concurrent_calls_per_key);
  limits.calls_max = static_cast<std::uint32_t>(config.limits.concurrent_calls);
  return limits;
}

void set_log_level(const Config& config) {
  const auto level = log::parse_level(config.log.level);
  log::set_level(level.value_or(log::Level::info));
}

// A wrong file changes nothing: the old configuration stays in force.
void reload(const ServeOptions& options, const DataFolder& folder, const Clock& clock,
            ServedModels& served, gateway::Services& services, gateway::Server& server) {
  const auto config = effective_config(options);
  if (!config) {
    log::error("the configuration was not reloaded: it has problems");
    return;
  }
  const auto tls = server_options(folder, *config, clock);
  auto reloaded = tls ? check_model_files(*config) : Result<>(std::unexpected(tls.error()));
  if (reloaded) {
    reloaded = server.reload_certificate(*tls);
  }
  if (reloaded) {
    reloaded = served.apply(*config);
  }
  if (!reloaded) {
    log::error("the configuration was not reloaded", {{"error", reloaded.error().message}});
    return;
  }
  services.config.replace(*config);
  services.ledger.set_limits(quota_limits(*config));
  set_log_level(*config);
  log::info("the configuration was reloaded; keys not marked as reloadable need a restart");
}

Result<std::unique_ptr<gateway::WebhookSender>> start_webhook_sender(
    Installation& installation, boost::asio::thread_pool& blocking, const Config& config,
    const Clock& clock) {
  identity::KeyService& keys = installation.keys();
  webhook::WebhookService& webhooks = installation.webhooks();
  TRY(auto sender,
      gateway::WebhookSender::start(webhooks, [&keys] { return keys.all_keys(); }, blocking, clock,
                                    {.ca_file = config.webhooks.ca_file}));
  gateway::WebhookSender& woken = *sender;
  boost::asio::post(blocking,
                    [&webhooks, &woken] { webhooks.on_queued([&woken] { woken.wake(); }); });
  return sender;
}

void say_what_is_served(const Config& config) {
  log::info(
      "serving",
      {{"https", fmt::format("{}:{}", config.server.https_address, config.server.https_port)},
       {"http", config.server.http_port == 0
                    ? std::string("off")
                    : fmt::format("{}:{}", config.server.http_address, config.server.http_port)},
       {"models", config.models.size()}});
  if (config.server.insecure_http_beyond_loopback && config.server.http_port != 0) {
    log::warn(
        "plain HTTP is open to other machines: keys and prompts cross the network unencrypted");
  }
  if (config.models.empty()) {
    log::warn("no model is configured; give one with --model-path or [[model]]");
  }
}

// Runs until SIGTERM or SIGINT.
void wait_for_end(const sigset_t& signals, const ServeOptions& options, const DataFolder& folder,
                  const Clock& clock, ServedModels& served, gateway::Services& services,
                  gateway::Server& server) {
  for (;;) {
    int signal = 0;
    ::sigwait(&signals, &signal);
    if (signal != SIGHUP) {
      log::info("draining: running calls may finish", {{"signal", signal}});
      return;
    }
    reload(options, folder, clock, served, services, server);
  }
}

identity::FailureLimiterOptions failure_limits(const Config& config) {
  identity::FailureLimiterOptions options;
  options.failures_per_minute =
      static_cast<std::uint32_t>(config.limits.authentication_failures_per_minute);
  return options;
}

// What the gateway takes from the installation beyond the least.
void lend(Installation& installation, gateway::Services& services) {
  services.second_factors = &installation.second_factors();
  services.rotation = &installation.rotation();
  services.approvals = &installation.approvals();
  services.leak_desk = &installation.leak_desk();
  services.people_desk = &installation.people_desk();
  services.oversight = &installation.oversight_desk();
}

// Until a signal says so.
void serve_until_end(const sigset_t& signals, const ServeOptions& options, const DataFolder& folder,
                     const Clock& clock, ServedModels& served, gateway::Services& services,
                     gateway::Server& server, Installation& installation) {
  gateway::finish_open_leaks(services);
  const std::shared_ptr<const Config> config = services.config.get();
  const RetentionKeeper retention(installation.audit_log(), folder.audit_index(),
                                  installation.oversight_desk().holds, retention_policy(*config),
                                  clock, [&services] { gateway::expire_contents(services); });
  say_what_is_served(*config);
  wait_for_end(signals, options, folder, clock, served, services, server);
}

Result<std::unique_ptr<transparency::Witness>> open_witness(const DataFolder& folder,
                                                            const Config& config) {
  const auto refused = [](const Error& error) {
    return fail(error.code, "audit.witness_keys: " + error.message);
  };
  std::vector<transparency::NoteVerifier> logs;
  for (const std::string& key : config.audit.witness_keys) {
    auto log = transparency::NoteVerifier::parse(key);
    if (!log) {
      return refused(log.error());
    }
    logs.push_back(std::move(*log));
  }
  auto witness = transparency::Witness::open(folder.witnessed(), std::move(logs));
  return witness ? std::move(witness) : refused(witness.error());
}

void end_pools(std::initializer_list<boost::asio::thread_pool*> pools) {
  for (boost::asio::thread_pool* const pool : pools) {
    pool->join();
  }
}

// Waits for all that is queued by now.
void finish(boost::asio::thread_pool& pool) {
  std::promise<void> done;
  boost::asio::post(pool, [&done] { done.set_value(); });
  done.get_future().wait();
}

// Says how many connections had to be cut.
std::size_t end_calls(gateway::Server& server, Installation& installation, ServedModels& served,
                      std::int64_t patience_s) {
  const std::size_t cut = server.drain(patience_s);
  installation.leak_desk().leaks.stop();
  // What still runs is ended by its backend, so that its audit record is written like any other.
  served.models().shut_down();
  server.drain(kLastWordsS);
  server.stop();
  return cut;
}

// All that was to be written is on the disk, and waiting longer would keep the folder's lock.
void leave_what_hangs(Installation& installation) {
  const bool places_done = installation.checkpointer().stop(kPlacesEnd);
  if (!places_done) {
    log::warn("a place of the audit log's checkpoints does not answer; ending without it");
  }
  const bool token_done = installation.custody_watch().stop(kCanaryEndMs);
  if (!token_done) {
    log::warn("the token has not come back from a call; ending without it");
  }
  if (!places_done || !token_done) {
    std::_Exit(kSuccess);
  }
}

Result<> run_server(const ServeOptions& options, const Config& config, const sigset_t& signals) {
  const SystemClock clock;
  const DataFolder folder(options.data);
  TRY(const auto installation, Installation::open(folder, config, clock));
  warn_of_unknown_tenants(config, installation->database());
  TRY(const gateway::ServerOptions tls, server_options(folder, config, clock));
  gateway::LiveConfig live_config(config);
  quota::Ledger ledger(quota_limits(config));
  identity::FailureLimiter failures(failure_limits(config));
  boost::asio::thread_pool blocking(1);
  boost::asio::thread_pool reports(1);
  boost::asio::thread_pool sign_ins(1);
  review::IndexKeeper keeper(folder.audit(), folder.audit_index(),
                             [&log = installation->audit_log()] { return log.tree().size(); });
  boost::asio::thread_pool log_readers(kLogReaders);
  TRY(const auto witness, open_witness(folder, config));
  boost::asio::thread_pool witnessing(1);
  const gateway::AuditDesk audit_desk{keeper, installation->checkpointer(), log_readers, *witness,
                                      witnessing};
  CHECK_OK(check_model_files(config));
  auto served =
      std::make_unique<ServedModels>(installation->database(), blocking, folder, config, clock);
  CHECK_OK(served->apply(config));
  gateway::Services services{.clock = clock,
                             .config = live_config,
                             .audit_log = installation->audit_log(),
                             .fingerprint_secret = installation->fingerprint_secret(),
                             .authenticator = installation->authenticator(),
                             .failures = failures,
                             .keys = installation->keys(),
                             .tenants = installation->tenants(),
                             .ledger = ledger,
                             .models = served->models(),
                             .blocking = blocking};
  lend(*installation, services);
  services.fleet = &served->fleet();
  services.catalog = &served->catalog();
  const gateway::Custody custody{installation->root_keys(), installation->custody_watch(),
                                 installation->envelope()};
  services.custody = &custody;
  services.reports = &reports;
  services.sign_ins = &sign_ins;
  services.audit_desk = &audit_desk;
  TRY(const auto server, gateway::Server::start(services, tls));
  const auto sender = start_webhook_sender(*installation, blocking, config, clock);
  if (!sender) {
    server->stop();
    end_pools(
        {&reports, &log_readers, &witnessing, &sign_ins});  // they answer to the server's threads
    finish(blocking);
    served.reset();  // its thread uses the database's
    blocking.join();
    return std::unexpected(sender.error());
  }
  installation->custody_watch().start();
  serve_until_end(signals, options, folder, clock, *served, services, *server, *installation);
  const std::size_t cut =
      end_calls(*server, *installation, *served, live_config.get()->server.drain_timeout_s);
  (*sender)->stop();
  end_pools({&reports, &log_readers, &witnessing, &sign_ins});
  finish(blocking);  // what looks into the catalogue, which goes next
  served.reset();    // its thread uses the database's
  blocking.join();
  log::info("stopped", {{"connections_cut", cut}});
  leave_what_hangs(*installation);
  return {};
}

int serve(const ServeOptions& options) {
  const sigset_t signals = block_signals();
  const auto config = effective_config(options);
  if (!config) {
    return kUsage;
  }
  set_log_level(*config);
  const auto ran = run_server(options, *config, signals);
  if (!ran) {
    if (ran.error().code == Code::already_exists) {
      return report({Code::already_exists,
                     ran.error().message + "; is a server running on this data folder?"});
    }
    return report(ran.error());
  }
  return kSuccess;
}

}  // namespace

void add_serve(CLI::App& app, int& status) {
  const auto options = std::make_shared<ServeOptions>();
  CLI::App* command =
      app.add_subcommand("serve", "Run the server until SIGTERM or Ctrl-C; SIGHUP reloads");
  add_serve_flags(*command, *options);
  command->callback([options, &status] { status = serve(*options); });
}

}  // namespace deepmoat::cli
