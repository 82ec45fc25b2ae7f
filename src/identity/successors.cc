#include "identity/successors.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "identity/api_key.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kUriPrefix = "deepmoat:client:";

// The row has no MAC of its own, so whom the key waits for is part of its place.
std::string bound(const store::SuccessorRow& row) {
  return row.old_key_id + "/" + row.new_key_id + "/" + row.client_id;  // no name holds a slash
}

crypto::FieldPlace place_of(const store::SuccessorRow& row, std::string_view bound) {
  return {.tenant = row.tenant,
          .table = "key_successors",
          .column = "sealed_key",
          .row = bound,
          .version = 1};  // a waiting key never changes
}

std::unexpected<Error> none() {
  return fail(Code::not_found,
              "no key waits for this key and this certificate: ask your administrator");
}

}  // namespace

std::string client_uri(const TenantId& tenant, const ClientId& client_id) {
  return std::string(kUriPrefix) + tenant.value() + "/" + client_id.value();
}

std::optional<CertifiedClient> parse_client_uri(std::string_view uri) {
  if (!uri.starts_with(kUriPrefix)) {
    return std::nullopt;
  }
  uri.remove_prefix(kUriPrefix.size());
  const std::size_t slash = uri.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view tenant = uri.substr(0, slash);
  const std::string_view client_id = uri.substr(slash + 1);
  if (!check_name("tenant", tenant) || !check_name("client_id", client_id)) {
    return std::nullopt;
  }
  return CertifiedClient{.tenant = TenantId(std::string(tenant)),
                         .client_id = ClientId(std::string(client_id)),
                         .fingerprint = ""};
}

Successors::Successors(store::Database& database, AppendAudit append, crypto::FieldCipher& cipher,
                       KeyService& keys, std::filesystem::path tls_folder, const Clock& clock)
    : table_(database),
      append_(std::move(append)),
      cipher_(cipher),
      keys_(keys),
      tls_folder_(std::move(tls_folder)),
      clock_(clock) {}

Result<IssuedCertificate> Successors::issue(const Actor& actor, const std::string& tenant,
                                            const std::string& client_id, std::int64_t days) {
  const auto body = [&](AuditedAction& action) -> Result<IssuedCertificate> {
    CHECK_OK(check_name("client_id", client_id));
    CHECK_OK(check_name("tenant", tenant));
    if (days < 1 || days > kCertificateDaysMax) {
      return fail(Code::invalid_argument, "days: must be 1 to 825");
    }
    if (!reaches(actor.tenant, TenantId(tenant))) {
      return fail(Code::permission_denied,
                  "tenant: certificates of another tenant need an "
                  "administrator of tenant \"default\"");
    }
    const UnixMillis now_ms = clock_.unix_ms();
    IssuedCertificate issued;
    TRY(issued.certificate,
        crypto::issue_client_certificate(tls_folder_, client_id,
                                         client_uri(TenantId(tenant), ClientId(client_id)), now_ms,
                                         now_ms + days * kDayMs));
    issued.row = {.fingerprint = issued.certificate.fingerprint,
                  .tenant = tenant,
                  .client_id = client_id,
                  .created_by = actor.operator_id,
                  .created_ms = now_ms,
                  .ends_ms = issued.certificate.ends_ms};
    action.resource = tenant + "/" + client_id + " " + issued.row.fingerprint;
    CHECK_OK(table_.insert_certificate(issued.row));
    return issued;
  };
  return audited<IssuedCertificate>(append_, actor,
                                    {audit::Operation::write, "certificate.issue", "", ""}, body);
}

Result<std::vector<store::ClientCertificateRow>> Successors::list(const Actor& actor) {
  using Rows = std::vector<store::ClientCertificateRow>;
  return audited<Rows>(append_, actor, {audit::Operation::read, "certificate.list", "", ""},
                       [&](AuditedAction&) -> Result<Rows> {
                         TRY(Rows rows, table_.list_certificates());
                         std::erase_if(rows, [&](const store::ClientCertificateRow& row) {
                           return !reaches(actor.tenant, TenantId(row.tenant));
                         });
                         return rows;
                       });
}

Result<> Successors::revoke(const Actor& actor, const std::string& fingerprint) {
  return audited<void>(
      append_, actor, {audit::Operation::write, "certificate.revoke", fingerprint, ""},
      [&](AuditedAction&) -> Result<> {
        TRY(const auto rows, table_.list_certificates());
        const auto found =
            std::ranges::find(rows, fingerprint, &store::ClientCertificateRow::fingerprint);
        if (found == rows.end() || !reaches(actor.tenant, TenantId(found->tenant))) {
          return fail(Code::not_found, "no such certificate");
        }
        return table_.revoke_certificate(fingerprint, clock_.unix_ms());
      });
}

Result<bool> Successors::in_force(const CertifiedClient& client) {
  TRY(const auto rows, table_.list_certificates());
  const UnixMillis now_ms = clock_.unix_ms();
  return std::ranges::any_of(rows, [&](const store::ClientCertificateRow& row) {
    return row.tenant == client.tenant.value() && row.client_id == client.client_id.value() &&
           row.revoked_ms == 0 && now_ms < row.ends_ms &&
           (client.fingerprint.empty() || row.fingerprint == client.fingerprint);
  });
}

Result<std::optional<KeyInfo>> Successors::prepare(const Actor& actor, const KeyInfo& old_key) {
  TRY(const Role role, parse_role(old_key.role));
  TRY(const bool certified,
      in_force({.tenant = old_key.tenant, .client_id = old_key.client_id, .fingerprint = ""}));
  const bool by_itself = role == Role::user || role == Role::operator_;
  if (!certified || !by_itself) {
    return std::optional<KeyInfo>();
  }
  const auto known = table_.find_successor(old_key.key_id.value());
  if (known) {
    return std::optional<KeyInfo>();
  }
  if (known.error().code != Code::not_found) {
    return std::unexpected(known.error());
  }
  TRY(const CreatedKey created,
      keys_.create(actor, {.client_id = old_key.client_id.value(),
                           .role = role,
                           .tenant = old_key.tenant.value(),
                           .lifetime_s = std::max<std::int64_t>(
                               (old_key.expires_ms - old_key.created_ms) / 1000, 1),
                           .label = old_key.label,
                           .attributes = old_key.attributes}));
  const Result<> kept = deposit(old_key.key_id, created);
  if (!kept) {
    (void)keys_.revoke(actor, created.info.key_id.value(), "it could not be kept for its owner");
    return std::unexpected(kept.error());
  }
  return std::optional(created.info);
}

Result<> Successors::deposit(const KeyId& old_key_id, const CreatedKey& created) {
  store::SuccessorRow row{.old_key_id = old_key_id.value(),
                          .new_key_id = created.info.key_id.value(),
                          .tenant = created.info.tenant.value(),
                          .client_id = created.info.client_id.value(),
                          .sealed_key = "",
                          .created_ms = clock_.unix_ms(),
                          .ends_ms = clock_.unix_ms() + kSuccessorWaitMs};
  TRY(const std::string sealed, cipher_.seal(place_of(row, bound(row)), created.shown.reveal()));
  row.sealed_key = to_hex(sealed);
  CHECK_OK(table_.end_successors(row.created_ms));
  return table_.insert_successor(row);
}

Result<FetchedKey> Successors::fetch(const Actor& actor, const KeyId& old_key_id,
                                     const CertifiedClient& client) {
  return audited<FetchedKey>(
      append_, actor,
      {audit::Operation::write, "key.successor", old_key_id.value(), client.fingerprint},
      [&](AuditedAction& action) -> Result<FetchedKey> {
        const UnixMillis now_ms = clock_.unix_ms();
        CHECK_OK(table_.end_successors(now_ms));
        const auto found = table_.find_successor(old_key_id.value());
        if (!found) {
          return found.error().code == Code::not_found ? none() : std::unexpected(found.error());
        }
        const store::SuccessorRow& row = *found;
        TRY(const bool certified, in_force(client));
        const bool theirs = certified && !client.fingerprint.empty() &&
                            row.tenant == client.tenant.value() &&
                            row.client_id == client.client_id.value();
        if (!theirs || row.sealed_key.empty() || row.fetched_ms != 0 || now_ms >= row.ends_ms) {
          return none();
        }
        action.resource = row.new_key_id;
        TRY(const std::string sealed, from_hex(row.sealed_key));
        TRY(Secret shown, cipher_.open(place_of(row, bound(row)), sealed));
        // Taken out before it is given out: a crash between the two loses it, and never doubles it.
        TRY(const bool taken, table_.take_successor(row.old_key_id, now_ms));
        if (!taken) {
          return none();
        }
        return FetchedKey{.key_id = KeyId(row.new_key_id), .shown = std::move(shown)};
      });
}

}  // namespace deepmoat::identity
