// How a client gets its next key by itself when the old one was revoked. The old key alone is worth
// nothing, as whoever found it has it too; so it is asked for together with a TLS client
// certificate that this installation's CA has issued to that very client, or with a code of the
// client's second factor. The new key waits sealed for seven days and is given out once.
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
#include "crypto/key_file.h"
#include "identity/audited_action.h"
#include "identity/authenticator.h"
#include "identity/key_service.h"
#include "identity/person_rows.h"
#include "identity/row_seal.h"
#include "identity/second_factor.h"
#include "identity/sessions.h"
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

enum class CertificateState : std::uint8_t {
  active,
  revoked,
  expired,
  corrupt,  // the row's MAC does not fit: it is not in force
};
[[nodiscard]] std::string_view state_name(CertificateState state);

// A certificate as an administrator may see it; a corrupt row may hold anything.
struct CertificateInfo {
  store::ClientCertificateRow row;
  CertificateState state = CertificateState::active;
};

struct IssuedCertificate {
  CertificateInfo info;
  crypto::ClientCertificate certificate;
};

// A key that waits for its client, and what the client can fetch it with today.
struct WaitingKey {
  KeyInfo info;
  bool by_certificate = false;
  bool by_second_factor = false;
};

struct FetchedKey {
  KeyId key_id;
  Secret shown;
};

class Successors {
 public:
  // What is referred to outlives the service.
  struct Parts {
    store::Database& database;
    AppendAudit append;
    const Authenticator& authenticator;
    crypto::FieldCipher& cipher;
    const crypto::RootSecrets& secrets;
    KeyService& keys;
    SecondFactors& factors;
    Sessions& sessions;
    std::filesystem::path tls_folder;  // where the CA lies (crypto/certificate.h)
    const Clock& clock;
  };
  explicit Successors(Parts parts);

  // For administrators; errors as KeyService has them. For a person's name, an actor with scopes
  // must have what the person's role has.
  Result<IssuedCertificate> issue(const Actor& actor, const std::string& tenant,
                                  const std::string& client_id, std::int64_t days);
  Result<std::vector<CertificateInfo>> list(const Actor& actor);
  // Nothing is given out for it from then on, and the sessions that it opened end. `fingerprint`:
  // as list() gives it.
  Result<> revoke(const Actor& actor, const std::string& fingerprint);

  // When the certificate was issued to `client`, whom a TLS handshake has proved with it. None: it
  // was not issued here to that client, was revoked, has ended by the latest time that this
  // installation has seen, or its row was edited, copied or forged. The caller audits.
  Result<std::optional<UnixMillis>> issued_at(const CertifiedClient& client);

  // Makes the next key of `old_key`'s client, with its role, label and length of life, and lets it
  // wait; a second time it is the key that waits. Empty, and nothing is made: the client has
  // neither a certificate in force nor a second factor that counts, the key is not a user's or an
  // operator's (a person hands those out), or its successor was given out or forgotten.
  Result<std::optional<WaitingKey>> prepare(const Actor& actor, const KeyInfo& old_key);

  // Gives the successor of `old_key_id` out. `actor` is the client, as far as it is known.
  // Code::not_found when there is none for this client: none was made, it was fetched, its time is
  // over, or the certificate is another client's or not in force.
  Result<FetchedKey> fetch(const Actor& actor, const KeyId& old_key_id,
                           const CertifiedClient& client);
  // The same for a code of the second factor of `owner`, whom the old key has named. The code is
  // used up in the transaction that takes the key out, so never for nothing; and while no key waits
  // no code is even looked at, so that a leaked key does not lock its client's factor at any time.
  // Errors: Code::not_found, and those of SecondFactors::verify().
  Result<FetchedKey> fetch(const Actor& actor, const KeyId& old_key_id, const FactorOwner& owner,
                           std::string_view one_time_password);

 private:
  [[nodiscard]] UnixMillis now_ms() const;
  [[nodiscard]] std::string row_mac(const store::ClientCertificateRow& row) const;
  [[nodiscard]] CertificateState state_of(const store::ClientCertificateRow& row) const;
  Result<> check_person(const Actor& actor, const PersonName& who);
  Result<bool> has_certificate(const TenantId& tenant, const ClientId& client_id);
  Result<> deposit(const KeyId& old_key_id, const CreatedKey& created);
  Result<store::SuccessorRow> waiting(const KeyId& old_key_id, const FactorOwner& owner);
  Result<FetchedKey> take(const store::SuccessorRow& row);

  const Parts parts_;
  store::ClientTable table_;
  PersonRows people_;
  RowSeal rows_;
};

}  // namespace deepmoat::identity
