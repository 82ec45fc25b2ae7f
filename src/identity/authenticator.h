// Who presents this key? The check of every call, against an immutable snapshot of all key rows.
//
// Thread-safe. A reader copies the snapshot's pointer and then shares nothing; a writer swaps the
// pointer, so a revoked key is refused from the next authenticate() on, whatever thread runs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/strong.h"
#include "identity/api_key.h"
#include "identity/key_attributes.h"
#include "identity/key_authority.h"
#include "identity/roles.h"
#include "store/database.h"

namespace deepmoat::identity {

// Before its end a key warns of it; after its end it can be rotated, and nothing else.
inline constexpr std::int64_t kKeyNoticeMs = 14 * kDayMs;
inline constexpr std::int64_t kRotationGraceMs = 14 * kDayMs;

// Somebody who proved a key. Only authenticate() makes one outside tests.
struct Principal {
  KeyId key_id;
  ClientId client_id;
  TenantId tenant;
  Role role = Role::user;
  KeyKind kind = KeyKind::live;
  UnixMillis expires_ms = 0;  // of a key that was rotated: the end of the overlap, if sooner
  std::shared_ptr<const KeyRules> rules;  // what the key is bound to; shared with the snapshot
  KeyId lineage = {};                     // the first key of its line; empty: itself
  KeyId replaced = {};  // the key that this very call, the first of its successor, has ended

  // His role permits it, and his key's scopes, and what all tenants share is his tenant's to
  // change.
  [[nodiscard]] bool may(Permission permission) const;
  // What limits and usage are counted under: they go over to the keys that follow.
  [[nodiscard]] const KeyId& account() const { return lineage.value().empty() ? key_id : lineage; }
};

// Why may() said no, for the caller: names what would have to change.
[[nodiscard]] std::string denial_of(const Principal& principal, Permission permission);

enum class AuthFailureKind : std::uint8_t {
  missing,    // no key at all; for the caller of authenticate() to use
  malformed,  // fails the offline check: a typing error or junk
  unknown,    // well formed, and no key of ours
  elsewhere,  // a key of ours, proved, from an address that it may not come from
  revoked,    // a key of ours, proved, and revoked
  replaced,   // a key of ours, proved, and its successor is in use or the overlap is over
  expired,    // a key of ours, proved, and past its end
};

// `key_id`, `client_id` and `tenant` are known, for the audit record, only when the key proved
// itself (elsewhere, revoked, replaced, expired).
struct AuthFailure {
  AuthFailureKind kind = AuthFailureKind::unknown;
  KeyId key_id;
  ClientId client_id;
  TenantId tenant;
};

// The key proved itself where it may be used, and is refused because it has ended: revoked,
// replaced or expired.
[[nodiscard]] bool has_ended(AuthFailureKind kind);

// Error code of the 401: "missing_api_key", "invalid_api_key" (malformed, unknown and elsewhere
// alike: whoever tries keys from outside learns of none that it is good), "key_revoked",
// "key_replaced", "key_expired".
[[nodiscard]] std::string_view failure_code(AuthFailureKind kind);
// A sentence for the caller that says what to do.
[[nodiscard]] std::string_view failure_message(AuthFailureKind kind);

struct AuthenticatorOptions {
  bool accept_bare_keys = false;  // 64 hex digits without prefix and checksum
};

// Holds a wish to hear of a key's end; gone with the object. Movable.
class KeyWatch {
 public:
  KeyWatch() = default;
  explicit KeyWatch(std::function<void()> leave) : leave_(std::move(leave)) {}
  KeyWatch(KeyWatch&& other) noexcept : leave_(std::exchange(other.leave_, nullptr)) {}
  KeyWatch& operator=(KeyWatch&& other) noexcept {
    std::swap(leave_, other.leave_);
    return *this;
  }
  KeyWatch(const KeyWatch&) = delete;
  KeyWatch& operator=(const KeyWatch&) = delete;
  ~KeyWatch() {
    if (leave_) {
      leave_();
    }
  }

 private:
  std::function<void()> leave_;
};

class Authenticator {
 public:
  // `authority` must outlive it. Knows no key until replace().
  explicit Authenticator(const KeyAuthority& authority, AuthenticatorOptions options = {});
  ~Authenticator();
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  // 1-2 us. An unknown key costs the same work as a known one (a dummy row takes its place).
  // A key ends at the latest time ever presented here: a clock set back revives nothing.
  // `address` is the peer's, without port; a key that is bound to networks needs one.
  // The first time that a key succeeds ends, at once and for all threads, the key that it took the
  // place of; Principal::replaced names it to the one call that did, so that it can be written
  // down.
  [[nodiscard]] std::expected<Principal, AuthFailure> authenticate(
      std::string_view presented, UnixMillis now_ms, std::string_view address = "") const;

  // The same for a call that rotates the key: lets in also a key past its end, for 14 days more.
  [[nodiscard]] std::expected<Principal, AuthFailure> authenticate_for_rotation(
      std::string_view presented, UnixMillis now_ms, std::string_view address = "") const;
  // Whether that still holds of a key that proved itself.
  [[nodiscard]] bool may_rotate(const KeyId& key_id, UnixMillis now_ms) const;

  // Swaps in a snapshot of `rows`, their attributes parsed. Rows whose MAC does not fit, or that
  // cannot be understood, are left out: nobody can use them.
  // Returns how many those were.
  std::size_t replace(std::span<const store::KeyRow> rows);

  // Whether a call of the key with this id may go on: streams ask between events, so that a
  // revocation cuts them. A key's successor does not: what had begun ends well. One hash look-up.
  [[nodiscard]] bool still_valid(const KeyId& key_id, UnixMillis now_ms) const;

  // Calls `withdrawn` at most once, from within the replace() that takes the key away, so that a
  // running call need not wait for its next event to be cut. Not at the key's own end in time. It
  // must be quick and may still run while the watch is destroyed. Ask still_valid() after: what
  // happened before is not told.
  [[nodiscard]] KeyWatch watch(const KeyId& key_id, std::function<void()> withdrawn) const;

  // Raises the latest time seen, e.g. to that of the newest audit record at start.
  void observe_time(UnixMillis now_ms) const;

  // The latest time ever presented here, now among them.
  [[nodiscard]] UnixMillis latest_ms(UnixMillis now_ms) const;

  // Rises with each replace(); a cheap way to see that nothing was revoked since.
  [[nodiscard]] std::uint64_t generation() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::identity
