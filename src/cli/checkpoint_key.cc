#include "cli/checkpoint_key.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <optional>
#include <utility>

#include "cli/root_keys.h"
#include "crypto/hmac.h"

namespace deepmoat::cli {

void forbid_dumps() {
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

Result<transparency::NoteSigner> checkpoint_signer(const crypto::RootSecrets& secrets,
                                                   const Config& config) {
  TRY(crypto::SigningKey key, crypto::SigningKey::from_seed(crypto::derive_secret(
                                  secrets.signing, "deepmoat audit checkpoint key 1")));
  std::optional<crypto::Sm2Key> sm2;
  if (config.audit.sm) {
    TRY(sm2, crypto::Sm2Key::from_seed(
                 crypto::derive_secret(secrets.signing, "deepmoat audit checkpoint SM2 key 1")));
  }
  const std::string origin =
      config.audit.origin.empty() ? "deepmoat/" + secrets.id : config.audit.origin;
  return transparency::NoteSigner::make(origin, std::move(key), std::move(sm2));
}

Result<transparency::NoteSigner> stored_checkpoint_signer(const DataFolder& folder,
                                                          const Config& config) {
  forbid_dumps();
  TRY(const std::unique_ptr<crypto::KeyCustody> keys, open_root_keys(folder, config, false));
  TRY(const crypto::RootSecrets secrets, keys->root_secrets());
  return checkpoint_signer(secrets, config);
}

}  // namespace deepmoat::cli
