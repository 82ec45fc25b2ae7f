#include "cli/installation.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "crypto/derived_field_cipher.h"
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
  const identity::AppendAudit append = [&log](audit::Record record) {
    return log.append_and_wait(std::move(record));
  };
  TRY(made->keys_, identity::KeyService::open(*made->database_, append, *made->authenticator_,
                                              *made->authority_, clock, made->secrets_.id));
  made->field_cipher_ = std::make_unique<crypto::DerivedFieldCipher>(made->secrets_.signing);
  made->second_factors_ = std::make_unique<identity::SecondFactors>(
      *made->database_, append, *made->authenticator_, *made->field_cipher_, made->secrets_, clock);
  made->rotation_ = std::make_unique<identity::KeyRotation>(
      *made->database_, append, *made->keys_, *made->authenticator_, *made->authority_,
      *made->second_factors_, clock);
  if (made->keys_->corrupt_rows() > 0) {
    log::error("rows of keys were altered outside this program; their keys are refused",
               {{"rows", made->keys_->corrupt_rows()}});
  }
  return made;
}

}  // namespace deepmoat::cli
