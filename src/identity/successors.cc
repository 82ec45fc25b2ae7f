// Certificates of clients, and keys that wait for their owners. On the thread of the database; see
// the header.
#include "identity/successors.h"

#include <algorithm>
#include <utility>

#include "base/hex.h"
#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "identity/api_key.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kUriPrefix = "deepmoat:client:";
constexpr std::string_view kRowPurpose = "deepmoat client certificate row 1";

// The row has no MAC of its own: all that it says of the key is part of the key's place, and a key
// that was taken out is not in it any more.
std::string bound(const store::SuccessorRow& row) {
  return row.old_key_id + "/" + row.new_key_id + "/" + row.client_id + "/" +
         std::to_string(row.ends_ms);  // no name holds a slash
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
              "no key waits for this key and whoever presents it: ask your administrator");
}

FactorOwner owner_of(const KeyInfo& key) {
  return {.tenant = key.tenant.value(), .client_id = key.client_id.value()};
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

std::string_view state_name(CertificateState state) {
  switch (state) {
    case CertificateState::active:
      return "active";
    case CertificateState::revoked:
      return "revoked";
    case CertificateState::expired:
      return "expired";
    case CertificateState::corrupt:
      break;
  }
  return "corrupt";
}

Successors::Successors(Parts parts)
    : parts_(std::move(parts)),
      table_(parts_.database),
      people_(parts_.database, parts_.secrets),
      rows_(parts_.secrets, kRowPurpose) {}

UnixMillis Successors::now_ms() const {
  return parts_.authenticator.latest_ms(parts_.clock.unix_ms());
}

std::string Successors::row_mac(const store::ClientCertificateRow& row) const {
  return rows_.mac({row.fingerprint, row.tenant, row.client_id, row.created_by},
                   {row.created_ms, row.ends_ms, row.revoked_ms});
}

CertificateState Successors::state_of(const store::ClientCertificateRow& row) const {
  if (!crypto::equal_constant_time(row.row_mac, row_mac(row))) {
    return CertificateState::corrupt;
  }
  return row.revoked_ms != 0       ? CertificateState::revoked
         : now_ms() >= row.ends_ms ? CertificateState::expired
                                   : CertificateState::active;
}

// Who has a person's certificate signs in as the person.
Result<> Successors::check_person(const Actor& actor, const PersonName& who) {
  TRY(const std::optional<store::PersonRow> person, people_.find(who));
  if (!person) {
    return {};
  }
  TRY(const Role role, parse_role(person->role));
  return check_grant(actor, permissions_of(role));
}

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
    CHECK_OK(check_person(actor, {.tenant = tenant, .name = client_id}));
    const UnixMillis made_ms = parts_.clock.unix_ms();  // as TLS reads the time
    IssuedCertificate issued;
    TRY(issued.certificate,
        crypto::issue_client_certificate(parts_.tls_folder, client_id,
                                         client_uri(TenantId(tenant), ClientId(client_id)), made_ms,
                                         made_ms + days * kDayMs));
    store::ClientCertificateRow& row = issued.info.row;
    row = {.fingerprint = issued.certificate.fingerprint,
           .tenant = tenant,
           .client_id = client_id,
           .created_by = actor.operator_id,
           .created_ms = made_ms,
           .ends_ms = issued.certificate.ends_ms};
    row.row_mac = row_mac(row);
    action.resource = tenant + "/" + client_id + " " + row.fingerprint;
    CHECK_OK(table_.insert_certificate(row));
    issued.info.state = state_of(row);
    return issued;
  };
  return audited<IssuedCertificate>(parts_.append, actor,
                                    {audit::Operation::write, "certificate.issue", "", ""}, body);
}

Result<std::vector<CertificateInfo>> Successors::list(const Actor& actor) {
  using List = std::vector<CertificateInfo>;
  return audited<List>(parts_.append, actor, {audit::Operation::read, "certificate.list", "", ""},
                       [&](AuditedAction&) -> Result<List> {
                         TRY(auto rows, table_.list_certificates());
                         List list;
                         for (store::ClientCertificateRow& row : rows) {
                           if (reaches(actor.tenant, TenantId(row.tenant))) {
                             const CertificateState state = state_of(row);
                             list.push_back({.row = std::move(row), .state = state});
                           }
                         }
                         return list;
                       });
}

Result<> Successors::revoke(const Actor& actor, const std::string& fingerprint) {
  return audited<void>(
      parts_.append, actor, {audit::Operation::write, "certificate.revoke", fingerprint, ""},
      [&](AuditedAction&) -> Result<> {
        auto found = table_.find_certificate(fingerprint);
        if (!found || !reaches(actor.tenant, TenantId(found->tenant))) {
          return found || found.error().code == Code::not_found
                     ? fail(Code::not_found, "no such certificate")
                     : std::unexpected(found.error());
        }
        if (state_of(*found) == CertificateState::corrupt) {
          // Sealing it anew would make a forged row good.
          return fail(Code::corrupt, "certificate " + fingerprint +
                                         ": its row was altered from outside, so it is not in "
                                         "force; it cannot be changed");
        }
        if (found->revoked_ms != 0) {
          return fail(Code::not_found, "no such certificate is in force");
        }
        parts_.sessions.end_all_with(fingerprint);  // need not wait for the disk
        found->revoked_ms = now_ms();
        found->row_mac = row_mac(*found);
        return table_.revoke_certificate(*found);
      });
}

Result<std::optional<UnixMillis>> Successors::issued_at(const CertifiedClient& client) {
  const auto row = table_.find_certificate(client.fingerprint);
  if (!row) {
    if (row.error().code != Code::not_found) {
      return std::unexpected(row.error());
    }
    return std::nullopt;
  }
  const bool in_force = row->tenant == client.tenant.value() &&
                        row->client_id == client.client_id.value() &&
                        state_of(*row) == CertificateState::active;
  return in_force ? std::optional(row->created_ms) : std::nullopt;
}

Result<bool> Successors::has_certificate(const TenantId& tenant, const ClientId& client_id) {
  TRY(const auto rows, table_.list_certificates());
  return std::ranges::any_of(rows, [&](const store::ClientCertificateRow& row) {
    return row.tenant == tenant.value() && row.client_id == client_id.value() &&
           state_of(row) == CertificateState::active;
  });
}

Result<std::optional<WaitingKey>> Successors::prepare(const Actor& actor, const KeyInfo& old_key) {
  TRY(const Role role, parse_role(old_key.role));
  if (role != Role::user && role != Role::operator_) {
    return std::optional<WaitingKey>();
  }
  WaitingKey waiting;
  TRY(waiting.by_certificate, has_certificate(old_key.tenant, old_key.client_id));
  const Result<bool> counts = parts_.factors.counts(owner_of(old_key));
  if (!waiting.by_certificate) {
    CHECK_OK(counts);
  }
  waiting.by_second_factor = counts.value_or(false);
  if (!waiting.by_certificate && !waiting.by_second_factor) {
    return std::optional<WaitingKey>();
  }
  const auto known = table_.find_successor(old_key.key_id.value());
  if (known) {
    // Made by an earlier report of the same leak.
    if (known->sealed_key.empty() || now_ms() >= known->ends_ms) {
      return std::optional<WaitingKey>();
    }
    TRY(const store::KeyRow next, parts_.database.find_key(known->new_key_id));
    waiting.info = parts_.keys.info_of(next);
    return std::optional(std::move(waiting));
  }
  if (known.error().code != Code::not_found) {
    return std::unexpected(known.error());
  }
  TRY(const CreatedKey created,
      parts_.keys.create(actor, {.client_id = old_key.client_id.value(),
                                 .role = role,
                                 .tenant = old_key.tenant.value(),
                                 .lifetime_s = std::max<std::int64_t>(
                                     (old_key.expires_ms - old_key.created_ms) / 1000, 1),
                                 .label = old_key.label,
                                 .attributes = old_key.attributes}));
  const Result<> kept = deposit(old_key.key_id, created);
  if (!kept) {
    (void)parts_.keys.revoke(actor, created.info.key_id.value(),
                             "it could not be kept for its owner");
    return std::unexpected(kept.error());
  }
  waiting.info = created.info;
  return std::optional(std::move(waiting));
}

Result<> Successors::deposit(const KeyId& old_key_id, const CreatedKey& created) {
  const UnixMillis now = now_ms();
  store::SuccessorRow row{.old_key_id = old_key_id.value(),
                          .new_key_id = created.info.key_id.value(),
                          .tenant = created.info.tenant.value(),
                          .client_id = created.info.client_id.value(),
                          .sealed_key = "",
                          .created_ms = now,
                          .ends_ms = now + kSuccessorWaitMs};
  TRY(const std::string sealed,
      parts_.cipher.seal(place_of(row, bound(row)), created.shown.reveal()));
  row.sealed_key = to_hex(sealed);
  CHECK_OK(table_.end_successors(now));
  return table_.insert_successor(row);
}

Result<FetchedKey> Successors::fetch(const Actor& actor, const KeyId& old_key_id,
                                     const CertifiedClient& client) {
  return audited<FetchedKey>(
      parts_.append, actor,
      {audit::Operation::write, "key.successor", old_key_id.value(), client.fingerprint},
      [&](AuditedAction& action) -> Result<FetchedKey> {
        TRY(const store::SuccessorRow row,
            waiting(old_key_id,
                    {.tenant = client.tenant.value(), .client_id = client.client_id.value()}));
        TRY(const std::optional<UnixMillis> issued, issued_at(client));
        if (!issued) {
          return none();
        }
        action.resource = row.new_key_id;
        return take(row);
      });
}

Result<FetchedKey> Successors::fetch(const Actor& actor, const KeyId& old_key_id,
                                     const FactorOwner& owner, std::string_view one_time_password) {
  return audited<FetchedKey>(
      parts_.append, actor,
      {audit::Operation::write, "key.successor", old_key_id.value(), "one_time_password"},
      [&](AuditedAction& action) -> Result<FetchedKey> {
        TRY(const bool counts, parts_.factors.counts(owner));
        if (!counts) {
          return fail(Code::not_found,
                      "client " + owner.client_id +
                          " has no second factor that counts: ask your administrator for a key");
        }
        TRY(const store::SuccessorRow row, waiting(old_key_id, owner));
        std::optional<FetchedKey> fetched;
        CHECK_OK(parts_.factors.verify(owner, one_time_password, [&]() -> Result<> {
          TRY(fetched, take(row));
          return {};
        }));
        action.resource = row.new_key_id;
        return *std::move(fetched);
      });
}

// The row of a key that waits for this client and nobody else.
Result<store::SuccessorRow> Successors::waiting(const KeyId& old_key_id, const FactorOwner& owner) {
  const UnixMillis now = now_ms();
  CHECK_OK(table_.end_successors(now));
  auto row = table_.find_successor(old_key_id.value());
  if (!row) {
    return row.error().code == Code::not_found ? none() : std::unexpected(row.error());
  }
  const bool theirs = row->tenant == owner.tenant && row->client_id == owner.client_id;
  if (!theirs || row->sealed_key.empty() || row->fetched_ms != 0 || now >= row->ends_ms) {
    return none();
  }
  return row;
}

// Taken out before it is given out: a crash between the two loses it, and never doubles it.
Result<FetchedKey> Successors::take(const store::SuccessorRow& row) {
  TRY(const std::string sealed, from_hex(row.sealed_key));
  TRY(Secret shown, parts_.cipher.open(place_of(row, bound(row)), sealed));
  TRY(const bool taken, table_.take_successor(row.old_key_id, now_ms()));
  if (!taken) {
    return none();
  }
  return FetchedKey{.key_id = KeyId(row.new_key_id), .shown = std::move(shown)};
}

}  // namespace deepmoat::identity
