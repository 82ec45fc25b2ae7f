#include "cli/installation.h"

#include <algorithm>

#include "audit/tail.h"
#include "base/locked_memory.h"
#include "base/log.h"
#include "cli/audit_config.h"
#include "cli/checkpoint_key.h"
#include "cli/node_place.h"
#include "cli/root_keys.h"
#include "crypto/hmac.h"
#include "crypto/self_test.h"

namespace deepmoat::cli {

namespace {

// Once there is a keystore of the envelope, one that is not there is lost and not made anew.
constexpr std::string_view kEnvelopeSetting = "envelope_begun";

identity::SessionOptions session_options(const Config& config) {
  identity::SessionOptions options;
  options.idle_ms = config.sessions.idle_minutes * 60 * 1000;
  options.lifetime_ms = config.sessions.hours * 60 * 60 * 1000;
  return options;
}

constexpr std::size_t kRecordsForTime = 256;
constexpr UnixMillis kClockBehindMs = 60 * 1000;

}  // namespace

// A clock that was set back while nothing ran revives no key: ends are judged by the newest time on
// record. Several records, because those written since the clock was set back say nothing.
Result<> Installation::observe_recorded_time(const DataFolder& folder, const Clock& clock) {
  audit::TailReader tail(folder.audit());
  TRY(const std::vector<audit::Entry> entries, tail.read_last(kRecordsForTime));
  UnixMillis newest_ms = 0;
  for (const audit::Entry& entry : entries) {
    newest_ms = std::max(newest_ms, entry.record.unix_ms);
  }
  authenticator_->observe_time(newest_ms);
  if (newest_ms > clock.unix_ms() + kClockBehindMs) {
    log::warn("the clock is behind the audit log; keys end by the log's time until it catches up",
              {{"behind_s", (newest_ms - clock.unix_ms()) / 1000}});
  }
  return {};
}

// What leaked keys, incidents and webhooks need.
Result<> Installation::open_leak_desk(const DataFolder& folder, const Config& config,
                                      const Clock& clock) {
  audit::Log& log = *audit_log_;
  const identity::AppendAudit append = [&log](audit::Record record) {
    return log.append_and_wait(std::move(record));
  };
  // Derived, so that whoever restores the key file has it too.
  const Secret seed = crypto::derive_secret(secrets_.signing, "deepmoat incident signing key 1");
  TRY(crypto::SigningKey key, crypto::SigningKey::from_seed(seed));
  incident_key_ = std::make_unique<crypto::SigningKey>(std::move(key));
  webhooks_ = std::make_unique<webhook::WebhookService>(
      *database_, append, *envelope_, clock,
      config.webhooks.tenants_reach_private_networks ? webhook::Reach::private_networks
                                                     : webhook::Reach::internet);
  successors_ = std::make_unique<identity::Successors>(
      identity::Successors::Parts{.database = *database_,
                                  .append = append,
                                  .authenticator = *authenticator_,
                                  .cipher = *envelope_,
                                  .secrets = secrets_,
                                  .keys = *keys_,
                                  .factors = *second_factors_,
                                  .sessions = *sessions_,
                                  .tls_folder = folder.tls(),
                                  .clock = clock});
  leaks_ = std::make_unique<gateway::LeakService>(
      gateway::LeakService::Parts{.database = *database_,
                                  .keys = *keys_,
                                  .append = append,
                                  .audit_folder = folder.audit(),
                                  .incident_folder = folder.incidents(),
                                  .signing_key = *incident_key_,
                                  .webhooks = *webhooks_,
                                  .successors = *successors_,
                                  .clock = clock});
  leak_desk_ = std::make_unique<gateway::LeakDesk>(
      gateway::LeakDesk{.leaks = *leaks_, .webhooks = *webhooks_, .successors = *successors_});
  return {};
}

// What people who sign in need. REQUIRES: open_leak_desk() has made the client certificates' part.
void Installation::open_people_desk(const Config& config, const Clock& clock) {
  audit::Log& log = *audit_log_;
  const identity::AppendAudit append = [&log](audit::Record record) {
    return log.append_and_wait(std::move(record));
  };
  people_ = std::make_unique<identity::People>(*database_, append, *authenticator_,
                                               *second_factors_, *sessions_, secrets_, clock);
  sign_in_ = std::make_unique<identity::SignIn>(append, *authenticator_, *people_, *second_factors_,
                                                *successors_, *sessions_, clock);
  people_desk_ = std::make_unique<gateway::PeopleDesk>(
      gateway::PeopleDesk{.people = *people_, .sessions = *sessions_, .sign_in = *sign_in_});
}

// What auditors set, and the content that is kept.
Result<> Installation::open_oversight_desk(const Clock& clock) {
  audit::Log& log = *audit_log_;
  const identity::AppendAudit append = [&log](audit::Record record) {
    return log.append_and_wait(std::move(record));
  };
  TRY(policies_, oversight::ContentPolicies::open(*database_, append, secrets_, clock));
  TRY(holds_, oversight::LegalHolds::open(*database_, append, secrets_, clock));
  contents_ = std::make_unique<oversight::ContentStore>(*database_, append, *envelope_, *holds_,
                                                        secrets_, clock);
  oversight_desk_ = std::make_unique<gateway::OversightDesk>(
      gateway::OversightDesk{.policies = *policies_, .holds = *holds_, .contents = *contents_});
  return {};
}

Result<std::unique_ptr<Installation>> Installation::open(const DataFolder& folder,
                                                         const Config& config, const Clock& clock) {
  forbid_dumps();
  CHECK_OK(crypto::self_test());
  CHECK_OK(check_audit_config(config));
  CHECK_OK(make_directory(folder.root(), 0700));
  std::unique_ptr<Installation> made(new Installation());
  TRY(made->lock_, lock_file(folder.lock()));
  const bool first_start = !std::filesystem::exists(folder.database());
  CHECK_OK(made->open_custody(folder, config, clock, first_start));
  CHECK_OK(made->open_audit_log(folder, config, clock));
  TRY(made->database_, store::Database::open(folder.database()));
  CHECK_OK(made->open_envelope(folder, config, clock));
  made->authority_ = std::make_unique<identity::KeyAuthority>(made->secrets_);
  identity::AuthenticatorOptions authenticator_options;
  authenticator_options.accept_bare_keys = config.keys.accept_bare_hex;
  made->authenticator_ =
      std::make_unique<identity::Authenticator>(*made->authority_, authenticator_options);
  CHECK_OK(made->observe_recorded_time(folder, clock));
  audit::Log& log = *made->audit_log_;
  const identity::AppendAudit append = [&log](audit::Record record) {
    return log.append_and_wait(std::move(record));
  };
  TRY(made->keys_, identity::KeyService::open(*made->database_, append, *made->authenticator_,
                                              *made->authority_, clock, made->secrets_.id));
  made->tenants_ = std::make_unique<identity::TenantService>(*made->database_, append, clock);
  if (unlocked_secret_bytes() > 0) {
    log::warn("the limit of locked memory is too low, so secrets may be swapped out: ulimit -l");
  }
  made->keys_->ask_before_issuing([&watch = *made->custody_watch_] { return watch.may_issue(); });
  made->second_factors_ = std::make_unique<identity::SecondFactors>(
      *made->database_, append, *made->authenticator_, *made->envelope_, made->secrets_, clock);
  made->rotation_ = std::make_unique<identity::KeyRotation>(
      *made->database_, append, *made->keys_, *made->authenticator_, *made->authority_,
      *made->second_factors_, clock);
  made->approvals_ = std::make_unique<identity::Approvals>(
      *made->database_, append, *made->authenticator_, made->secrets_, clock);
  if (made->keys_->corrupt_rows() > 0) {
    log::error("rows of keys were altered outside this program; their keys are refused",
               {{"rows", made->keys_->corrupt_rows()}});
  }
  made->sessions_ = std::make_unique<identity::Sessions>(session_options(config));
  CHECK_OK(made->open_leak_desk(folder, config, clock));
  made->open_people_desk(config, clock);
  CHECK_OK(made->open_oversight_desk(clock));
  return made;
}

Result<> Installation::open_custody(const DataFolder& folder, const Config& config,
                                    const Clock& clock, bool first_start) {
  CHECK_OK(make_directory(folder.keys(), 0700));
  TRY(root_keys_, open_root_keys(folder, config, first_start));
  TRY(secrets_, root_keys_->root_secrets());
  custody_watch_ = std::make_unique<crypto::CustodyWatch>(
      *root_keys_,
      crypto::CustodyWatchOptions{.grace_ms = config.custody.grace_hours * 60 * 60 * 1000}, clock,
      [this](const crypto::CustodyHealth& health) { return hear(health); });
  return {};
}

// REQUIRES: check_audit_config() has passed.
Result<std::unique_ptr<audit::CheckpointPlace>> checkpoint_place(const std::string& text,
                                                                 const std::string& origin,
                                                                 const Config& config,
                                                                 crypto::KeyCustody& custody,
                                                                 const Clock& clock) {
  if (!text.starts_with(kNodePlace)) {
    return audit::make_checkpoint_place(text, origin, custody, clock);
  }
  return node_place({.url = text.substr(std::string_view(kNodePlace).size()),
                     .origin = origin,
                     .key_file = config.audit.node_key_file,
                     .ca_file = config.audit.node_ca_file},
                    clock);
}

// The log must continue every checkpoint of it that is kept anywhere.
Result<> Installation::open_audit_log(const DataFolder& folder, const Config& config,
                                      const Clock& clock) {
  TRY(transparency::NoteSigner signer, checkpoint_signer(secrets_, config));
  checkpoint_key_ = std::make_unique<transparency::NoteSigner>(std::move(signer));
  std::vector<std::unique_ptr<audit::CheckpointPlace>> places;
  for (const std::string& text : config.audit.checkpoint_places) {
    TRY(auto place, checkpoint_place(text, checkpoint_key_->name(), config, *root_keys_, clock));
    places.push_back(std::move(place));
  }
  audit::LogOptions options;
  options.directory = folder.audit();
  options.segment_bytes = static_cast<std::uint64_t>(config.audit.segment_mib) * 1024 * 1024;
  options.sm3_tree = config.audit.sm;
  TRY(options.known_checkpoints,
      audit::known_checkpoints(folder.audit(), places, *checkpoint_key_));
  TRY(audit_log_, audit::Log::open(std::move(options), clock));
  checkpointer_ = std::make_unique<audit::Checkpointer>(*audit_log_, *checkpoint_key_,
                                                        std::move(places), clock);
  return write_file_atomic(folder.audit_key(), audit::verifier_keys(*checkpoint_key_), 0644);
}

Result<> Installation::open_envelope(const DataFolder& folder, const Config& config,
                                     const Clock& clock) {
  TRY(const std::optional<std::string> begun, database_->setting(kEnvelopeSetting));
  crypto::EnvelopeOptions options;
  options.folder = folder.keys();
  options.algorithm = field_cipher(config);
  options.may_begin = !begun.has_value();
  options.may_issue = [this] { return custody_watch_->may_issue(); };
  TRY(envelope_, crypto::Envelope::open(std::move(options), *root_keys_, clock));
  return begun ? Result<>() : database_->set_setting(kEnvelopeSetting, "1");
}

// On the watching thread.
bool Installation::hear(const crypto::CustodyHealth& health) {
  const std::string_view state = crypto::custody_state_name(health.state);
  switch (health.state) {
    case crypto::CustodyState::up: {
      Result<> usable = envelope_->unlock();
      if (usable) {
        usable = envelope_->finish();
      }
      log::info("the root keys are reachable again",
                {{"envelope", usable ? std::string("ok") : usable.error().message}});
      return usable.has_value();  // else once more after the next check
    }
    case crypto::CustodyState::lost:
      log::error("the root keys are lost: calls go on for the grace time, no new key is made",
                 {{"state", state}, {"reason", health.reason}});
      break;
    case crypto::CustodyState::sealed:
      envelope_->lock();
      log::error("the root keys are lost for too long, or answer wrongly: nothing is served",
                 {{"state", state}, {"reason", health.reason}});
      break;
  }
  return true;
}

}  // namespace deepmoat::cli
