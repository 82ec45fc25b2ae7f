// What an administrator does with keys: create, list, show, change, revoke, expire.
//
// Order of every action: audit intent durable -> database -> snapshot swap -> audit result; but
// what takes a right away is in the snapshot before it is in the database, as every millisecond
// counts (identity/audited_action.h). Blocking; used from one blocking thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/strong.h"
#include "crypto/key_file.h"
#include "identity/audited_action.h"
#include "identity/authenticator.h"
#include "identity/key_attributes.h"
#include "identity/key_authority.h"
#include "identity/roles.h"
#include "store/database.h"

namespace deepmoat::identity {

inline constexpr std::int64_t kKeyLifetimeMaxS = 90LL * 86'400;  // 90 days, a hard end
inline constexpr std::size_t kLabelBytesMax = 200;
inline constexpr std::size_t kReasonBytesMax = 200;
inline constexpr std::size_t kKeyReferenceBytesMin = 8;  // of a prefix of a key id

struct CreateKey {
  std::string client_id;
  Role role = Role::user;
  std::string tenant{kHomeTenant};
  std::int64_t lifetime_s = kKeyLifetimeMaxS;  // 1 second to 90 days
  std::string label;
  KeyAttributes attributes = {};
};

enum class KeyState : std::uint8_t {
  active,
  revoked,
  expired,
  replaced,  // rotated, and its successor was used or the overlap is over
  corrupt,   // the row's MAC does not fit: nobody can use it
};
[[nodiscard]] std::string_view state_name(KeyState state);

// A key as an administrator may see it.
struct KeyInfo {
  KeyId key_id;
  ClientId client_id;
  TenantId tenant;
  std::string role;  // text: a corrupt row may hold anything
  std::string kind;
  std::string label;
  UnixMillis created_ms = 0;
  UnixMillis expires_ms = 0;
  UnixMillis revoked_ms = 0;  // 0 = not revoked
  std::string revoke_reason;
  KeyId predecessor = {};           // the key that it took the place of; empty: none
  UnixMillis overlap_until_ms = 0;  // it was rotated and ends then; 0: it was not
  KeyState state = KeyState::active;
  KeyAttributes attributes = {};
};

struct CreatedKey {
  KeyInfo info;
  Secret shown;  // the only time that it exists outside the client
};

// What became of a key that was reported as leaked.
struct LeakedKey {
  KeyInfo info;
  KeyState before = KeyState::active;  // its state when it was reported
  std::uint64_t audit_sequence = 0;    // of the result of the revocation
};

class KeyService {
 public:
  // Loads the keys into `authenticator`. Everything referred to must outlive the service.
  // Code::corrupt when the database belongs to another key file (`root_id`).
  static Result<std::unique_ptr<KeyService>> open(store::Database& database, AppendAudit append,
                                                  Authenticator& authenticator,
                                                  const KeyAuthority& authority, const Clock& clock,
                                                  std::string_view root_id);

  KeyService(const KeyService&) = delete;
  KeyService& operator=(const KeyService&) = delete;

  // Asked before a key is made; an error is the answer. Set once, before the first call.
  void ask_before_issuing(std::function<Result<>()> may_issue) {
    may_issue_ = std::move(may_issue);
  }
  [[nodiscard]] Result<> may_issue() const { return may_issue_ ? may_issue_() : Result<>{}; }

  // Errors of all: Code::unavailable when the log or the database cannot be written,
  // Code::invalid_argument with the field, Code::permission_denied for another's tenant, and for
  // an actor with scopes who would give more than he has. A tenant that is not there is made.
  Result<CreatedKey> create(const Actor& actor, const CreateKey& request);
  // Keys of the tenants that the actor reaches, oldest first.
  Result<std::vector<KeyInfo>> list(const Actor& actor);

  // Every key, for the program's own notices. No person sees it, so it is in no audit record.
  Result<std::vector<KeyInfo>> all_keys();

  // `reference`: a key id, a prefix of one (8 characters or more) that fits one key only, or the
  // shown key itself. Code::not_found also for keys of tenants that the actor does not reach.
  Result<KeyInfo> show(const Actor& actor, std::string_view reference);
  // Sets attributes of a key that is neither revoked nor expired; calls from then on obey.
  Result<KeyInfo> change(const Actor& actor, std::string_view reference, const KeyChange& change);
  // `reason` is for people and for the audit log; must not be empty. A second time is no error
  // and changes nothing.
  Result<KeyInfo> revoke(const Actor& actor, std::string_view reference, std::string_view reason);
  // The same for a key that others may have: "key.leak" in the audit log. A key that is revoked
  // already stays as it is, and is on record as leaked.
  Result<LeakedKey> leak(const Actor& actor, std::string_view reference, std::string_view reason);
  // Ends the key at `at_ms`, sooner than it would; never later. In the past: at once.
  Result<KeyInfo> expire(const Actor& actor, std::string_view reference, UnixMillis at_ms);

  // For the other services of keys: what an administrator may see of a row, and a new snapshot
  // after the rows changed.
  [[nodiscard]] KeyInfo info_of(const store::KeyRow& row) const;
  Result<> reload();

  // Rows that are refused because their MAC does not fit; for the log at start and for `doctor`.
  [[nodiscard]] std::size_t corrupt_rows() const { return corrupt_rows_; }

 private:
  KeyService(store::Database& database, AppendAudit append, Authenticator& authenticator,
             const KeyAuthority& authority, const Clock& clock);

  using Edit = std::function<Result<>(store::KeyRow&)>;
  // An edit that only takes rights away is in force before the disk has it, which may take long.
  enum class First : std::uint8_t { disk, memory };
  Result<store::KeyRow> find(const Actor& actor, std::string_view reference);
  Result<> put_in_force(const store::KeyRow& edited);
  Result<KeyInfo> edit(const Actor& actor, std::string_view name, std::string_view reference,
                       std::string_view detail, First first, const Edit& apply,
                       std::uint64_t* result_sequence = nullptr);
  Result<LeakedKey> revoke_as(std::string_view name, const Actor& actor, std::string_view reference,
                              std::string_view reason);

  store::Database& database_;
  AppendAudit append_;
  Authenticator& authenticator_;
  const KeyAuthority& authority_;
  const Clock& clock_;
  std::function<Result<>()> may_issue_ = nullptr;  // none: always
  std::size_t corrupt_rows_ = 0;
};

}  // namespace deepmoat::identity
