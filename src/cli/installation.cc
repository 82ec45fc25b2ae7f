#include "cli/installation.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "crypto/derived_field_cipher.h"
#include "crypto/hmac.h"
#include "crypto/self_test.h"

namespace deepmoat::cli {

namespace {

// Secrets are about to be in memory: no core file, no debugger of the same user.
void forbid_dumps() {
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

Result<Secret> read_passphrase(const std::string& path) {
  if (path.empty()) {
    return Secret();
  }
  TRY(std::string text, read_file(path, 4096));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
    text.pop_back();
  }
  if (text.empty()) {
    return fail(Code::invalid_argument, "keys.passphrase_file " + path + " is empty");
  }
  return Secret(std::move(text));
}

}  // namespace

// What leaked keys, incidents and webhooks need.
Result<> Installation::open_leak_desk(const DataFolder& folder, const Clock& clock) {
  audit::Log& log = *audit_log_;
  const identity::AppendAudit append = [&log](audit::Record record) {
    return log.append_and_wait(std::move(record));
  };
  field_cipher_ = std::make_unique<crypto::DerivedFieldCipher>(secrets_.signing);
  // Derived, so that whoever restores the key file has it too.
  const Secret seed = crypto::derive_secret(secrets_.signing, "deepmoat incident signing key 1");
  TRY(crypto::SigningKey key, crypto::SigningKey::from_seed(seed));
  incident_key_ = std::make_unique<crypto::SigningKey>(std::move(key));
  webhooks_ = std::make_unique<webhook::WebhookService>(*database_, append, *field_cipher_, clock);
  successors_ = std::make_unique<identity::Successors>(*database_, append, *field_cipher_, *keys_,
                                                       folder.tls(), clock);
  leaks_ = std::make_unique<gateway::LeakService>(
      gateway::LeakService::Parts{.keys = *keys_,
                                  .append = append,
                                  .audit_folder = folder.audit(),
                                  .incident_folder = folder.incidents(),
                                  .signing_key = *incident_key_,
                                  .webhooks = *webhooks_,
                                  .successors = *successors_,
                                  .clock = clock});
  leak_desk_ = std::make_unique<gateway::LeakDesk>(gateway::LeakDesk{
      .leaks = *leaks_, .webhooks = *webhooks_, .successors = *successors_, .clock = clock});
  return {};
}

Result<std::unique_ptr<Installation>> Installation::open(const DataFolder& folder,
                                                         const Config& config, const Clock& clock) {
  forbid_dumps();
  CHECK_OK(crypto::self_test());
  CHECK_OK(make_directory(folder.root(), 0700));
  std::unique_ptr<Installation> made(new Installation());
  TRY(made->lock_, lock_file(folder.lock()));
  const bool first_start = !std::filesystem::exists(folder.database());
  TRY(const Secret passphrase, read_passphrase(config.keys.passphrase_file));
  TRY(made->secrets_, crypto::open_or_create_key_file(folder.key_file(), passphrase, first_start));
  audit::LogOptions log_options;
  log_options.directory = folder.audit();
  log_options.segment_bytes = static_cast<std::uint64_t>(config.audit.segment_mib) * 1024 * 1024;
  TRY(made->audit_log_, audit::Log::open(log_options, clock));
  TRY(made->database_, store::Database::open(folder.database()));
  made->authority_ = std::make_unique<identity::KeyAuthority>(made->secrets_);
  identity::AuthenticatorOptions authenticator_options;
  authenticator_options.accept_bare_keys = config.keys.accept_bare_hex;
  made->authenticator_ =
      std::make_unique<identity::Authenticator>(*made->authority_, authenticator_options);
  audit::Log& log = *made->audit_log_;
  TRY(made->keys_,
      identity::KeyService::open(
          *made->database_,
          [&log](audit::Record record) { return log.append_and_wait(std::move(record)); },
          *made->authenticator_, *made->authority_, clock, made->secrets_.id));
  if (made->keys_->corrupt_rows() > 0) {
    log::error("rows of keys were altered outside this program; their keys are refused",
               {{"rows", made->keys_->corrupt_rows()}});
  }
  CHECK_OK(made->open_leak_desk(folder, clock));
  return made;
}

}  // namespace deepmoat::cli
