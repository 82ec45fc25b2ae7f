// How an integration gets its next key by itself when the old one was revoked. The old key alone
// is worth nothing, as whoever found it has it too; so it is asked for together with a TLS client
// certificate that this installation's CA has issued to that very client. The new key waits sealed
// for seven days and is given out once.
//
// Everything is audited. Blocking; on the database's thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/strong.h"
#include "crypto/certificate.h"
#include "crypto/field_cipher.h"
#include "identity/audited_action.h"
#include "identity/key_service.h"
#include "store/client_table.h"

namespace deepmoat::identity {

inline constexpr std::int64_t kSuccessorWaitMs = 7 * kDayMs;
inline constexpr std::int64_t kCertificateDaysMax = 825;

// Whom a verified client certificate names.
struct CertifiedClient {
  TenantId tenant;
  ClientId client_id;
  std::string fingerprint;

  bool operator==(const CertifiedClient&) const = default;
};

// "deepmoat:client:<tenant>/<client_id>", the URI in a client's certificate, and back.
[[nodiscard]] std::string client_uri(const TenantId& tenant, const ClientId& client_id);
[[nodiscard]] std::optional<CertifiedClient> parse_client_uri(std::string_view uri);

struct IssuedCertificate {
  store::ClientCertificateRow row;
  crypto::ClientCertificate certificate;
};

struct FetchedKey {
  KeyId key_id;
  Secret shown;
};

class Successors {
 public:
  // `tls_folder`: where the CA lies (crypto/certificate.h). All referred to outlives it.
  Successors(store::Database& database, AppendAudit append, crypto::FieldCipher& cipher,
             KeyService& keys, std::filesystem::path tls_folder, const Clock& clock);

  // For administrators; errors as KeyService has them.
  Result<IssuedCertificate> issue(const Actor& actor, const std::string& tenant,
                                  const std::string& client_id, std::int64_t days);
  Result<std::vector<store::ClientCertificateRow>> list(const Actor& actor);
  // Nothing is given out for it from then on. `fingerprint`: as list() gives it.
  Result<> revoke(const Actor& actor, const std::string& fingerprint);

  // Whether the certificate was issued to that client, is not revoked and has not ended. Without a
  // fingerprint: whether the client has any such.
  Result<bool> in_force(const CertifiedClient& client);

  // Makes the next key of `old_key`'s client, with its role, label and length of life, and lets it
  // wait. Empty, and nothing is made: the client has no certificate in force, the key is not a
  // user's or an operator's (a person hands those out), or it has a successor.
  Result<std::optional<KeyInfo>> prepare(const Actor& actor, const KeyInfo& old_key);

  // Gives the successor of `old_key_id` out. `actor` is the client, as far as it is known.
  // Code::not_found when there is none for this client: none was made, it was fetched, its time is
  // over, or the certificate is another client's or not in force.
  Result<FetchedKey> fetch(const Actor& actor, const KeyId& old_key_id,
                           const CertifiedClient& client);

 private:
  Result<> deposit(const KeyId& old_key_id, const CreatedKey& created);

  store::ClientTable table_;
  AppendAudit append_;
  crypto::FieldCipher& cipher_;
  KeyService& keys_;
  const std::filesystem::path tls_folder_;
  const Clock& clock_;
};

}  // namespace deepmoat::identity
