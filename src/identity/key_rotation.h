// A key's holder gives it a successor: with the key itself and a one-time password of its client.
//
// The successor has the same client, role, tenant, label and other attributes, and a full lifetime.
// The old key lives on until the successor's first use, or for 24 hours, whichever comes first;
// until then it may be rotated again, for an answer that got lost, and that ends the successor
// which nobody used. A key past its end can be rotated for 14 days more, and do nothing else.
// Blocking; on the thread of the database.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/strong.h"
#include "identity/audited_action.h"
#include "identity/authenticator.h"
#include "identity/key_authority.h"
#include "identity/key_service.h"
#include "identity/second_factor.h"
#include "store/database.h"

namespace deepmoat::identity {

inline constexpr std::int64_t kOverlapMs = kDayMs;

struct RotatedKey {
  CreatedKey successor;
  KeyInfo predecessor;
};

class KeyRotation {
 public:
  // All that is referred to must outlive it.
  KeyRotation(store::Database& database, AppendAudit append, KeyService& keys,
              const Authenticator& authenticator, const KeyAuthority& authority,
              SecondFactors& factors, const Clock& clock);
  KeyRotation(const KeyRotation&) = delete;
  KeyRotation& operator=(const KeyRotation&) = delete;

  // `key_id` proved itself to Authenticator::authenticate_for_rotation(). The code is used up, the
  // successor made and the old key's end set in one transaction. On record as "key.rotate".
  // Errors: those of SecondFactors::verify(); Code::unauthenticated when the key has ended
  // since; Code::unavailable, after which either nothing or everything has happened, and the old
  // key can be rotated again in both cases.
  Result<RotatedKey> rotate(const Actor& actor, const KeyId& key_id,
                            std::string_view one_time_password, std::int64_t lifetime_s);

  // Writes down what the first use of `successor` did in memory (Principal::replaced): the key
  // before it has ended. On record as "key.replace". A second time changes nothing.
  Result<> retire_predecessor(const Actor& actor, const KeyId& successor);

 private:
  Result<RotatedKey> replace(store::KeyRow old, std::string_view one_time_password,
                             std::int64_t lifetime_s);
  Result<store::KeyRow> intact(const KeyId& key_id);
  Result<> seal_and_update(store::KeyRow row);

  store::Database& database_;
  AppendAudit append_;
  KeyService& keys_;
  const Authenticator& authenticator_;
  const KeyAuthority& authority_;
  SecondFactors& factors_;
  const Clock& clock_;
};

}  // namespace deepmoat::identity
