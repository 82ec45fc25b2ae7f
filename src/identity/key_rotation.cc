// Rotation of keys. On the thread of the database; see the header.
#include "identity/key_rotation.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/hex.h"
#include "crypto/digest.h"
#include "identity/api_key.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kUnusedReason = "rotated again before its first use";

// Everything that the old key was bound to goes over to the new one, whatever the row holds.
store::KeyRow successor_of(const store::KeyRow& old) {
  store::KeyRow next = old;
  next.predecessor = old.key_id;
  next.lineage = old.lineage.empty() ? old.key_id : old.lineage;
  next.overlap_until_ms = 0;
  next.revoked_ms = 0;
  next.revoke_reason.clear();
  return next;
}

}  // namespace

KeyRotation::KeyRotation(store::Database& database, AppendAudit append, KeyService& keys,
                         const Authenticator& authenticator, const KeyAuthority& authority,
                         SecondFactors& factors, const Clock& clock)
    : database_(database),
      append_(std::move(append)),
      keys_(keys),
      authenticator_(authenticator),
      authority_(authority),
      factors_(factors),
      clock_(clock) {}

Result<RotatedKey> KeyRotation::rotate(const Actor& actor, const KeyId& key_id,
                                       std::string_view one_time_password,
                                       std::int64_t lifetime_s) {
  return audited<RotatedKey>(
      append_, actor, AuditedAction{audit::Operation::write, "key.rotate", key_id.value(), ""},
      [&](AuditedAction& action) -> Result<RotatedKey> {
        if (lifetime_s < 1 || lifetime_s > kKeyLifetimeMaxS) {
          return fail(Code::invalid_argument, "lifetime_s: must be 1 second to 90 days");
        }
        CHECK_OK(keys_.may_issue());
        TRY(store::KeyRow old, intact(key_id));
        if (!authenticator_.may_rotate(key_id, clock_.unix_ms())) {
          return fail(Code::unauthenticated,
                      "key: it has ended for good; ask your administrator for a new one");
        }
        TRY(RotatedKey rotated, replace(std::move(old), one_time_password, lifetime_s));
        action.resource = rotated.successor.info.key_id.value();
        return rotated;
      });
}

Result<RotatedKey> KeyRotation::replace(store::KeyRow old, std::string_view one_time_password,
                                        std::int64_t lifetime_s) {
  const UnixMillis now_ms = authenticator_.latest_ms(clock_.unix_ms());
  TRY(const Role role, parse_role(old.role));
  TRY(Secret shown, authority_.make_key(kind_of(role), old.client_id, now_ms));
  store::KeyRow next = successor_of(old);
  TRY(next.key_id, KeyAuthority::make_key_id());
  next.lookup = to_hex(crypto::view(authority_.lookup(shown.reveal())));
  next.created_ms = now_ms;
  next.expires_ms = now_ms + lifetime_s * 1000;
  authority_.seal(next);
  if (old.overlap_until_ms == 0) {  // rotating again does not make it longer
    old.overlap_until_ms = std::min(now_ms + kOverlapMs, old.expires_ms + kRotationGraceMs);
  }
  TRY(std::vector<store::KeyRow> rows, database_.list_keys());
  std::erase_if(rows, [&](const store::KeyRow& row) {
    return row.predecessor != old.key_id || row.revoked_ms != 0 || !authority_.row_intact(row);
  });
  const FactorOwner owner{.tenant = old.tenant, .client_id = old.client_id};
  CHECK_OK(factors_.verify(owner, one_time_password, [&]() -> Result<> {
    for (store::KeyRow& unused : rows) {
      unused.revoked_ms = now_ms;
      unused.revoke_reason = kUnusedReason;
      CHECK_OK(seal_and_update(unused));
    }
    CHECK_OK(seal_and_update(old));
    return database_.insert_key(next);
  }));
  CHECK_OK(keys_.reload());
  authority_.seal(old);
  return RotatedKey{.successor = {.info = keys_.info_of(next), .shown = std::move(shown)},
                    .predecessor = keys_.info_of(old)};
}

Result<> KeyRotation::retire_predecessor(const Actor& actor, const KeyId& successor) {
  TRY(const store::KeyRow next, intact(successor));
  TRY(store::KeyRow old, intact(KeyId(next.predecessor)));
  if (old.overlap_until_ms <= next.created_ms) {
    return {};
  }
  return audited<void>(append_, actor,
                       AuditedAction{audit::Operation::write, "key.replace", old.key_id, ""},
                       [&](AuditedAction&) -> Result<> {
                         old.overlap_until_ms = next.created_ms;
                         CHECK_OK(seal_and_update(old));
                         return keys_.reload();
                       });
}

Result<store::KeyRow> KeyRotation::intact(const KeyId& key_id) {
  TRY(store::KeyRow row, database_.find_key(key_id.value()));
  if (!authority_.row_intact(row)) {
    return fail(Code::corrupt, "key " + row.key_id +
                                   ": its row was altered from outside, so nobody can use it; it "
                                   "cannot be rotated");
  }
  return row;
}

Result<> KeyRotation::seal_and_update(store::KeyRow row) {
  authority_.seal(row);
  return database_.update_key(row);
}

}  // namespace deepmoat::identity
