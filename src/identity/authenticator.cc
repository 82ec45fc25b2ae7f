// The check of every call. Thread-safe; see the header.
#include "identity/authenticator.h"

#include <algorithm>
#include <atomic>
#include <boost/smart_ptr/atomic_shared_ptr.hpp>
#include <boost/smart_ptr/make_shared.hpp>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/hex.h"

namespace deepmoat::identity {

namespace {

// A key and those that take its place; shared by all snapshots, so that the first use of a
// successor is seen whatever snapshot it happens in.
struct Succession {
  std::atomic<bool> begun = false;
};

struct Entry {
  Principal principal;
  UnixMillis created_ms = 0;
  UnixMillis expires_ms = 0;        // its own end
  UnixMillis overlap_until_ms = 0;  // 0: it was not rotated
  bool revoked = false;
  KeyId predecessor;
  std::shared_ptr<Succession> begins;    // with its first use; none: it takes nobody's place
  std::shared_ptr<Succession> ended_by;  // none: nothing takes its place
};

enum class Purpose : std::uint8_t { call, rotation };

// Why the key may not be used; none: it may.
std::optional<AuthFailureKind> end_of(const Entry& entry, Purpose purpose, UnixMillis latest_ms) {
  if (entry.revoked) {
    return AuthFailureKind::revoked;
  }
  const bool overlap_over = entry.overlap_until_ms != 0 && latest_ms >= entry.overlap_until_ms;
  if (overlap_over || (entry.ended_by && entry.ended_by->begun.load())) {
    return AuthFailureKind::replaced;
  }
  const UnixMillis grace_ms = purpose == Purpose::rotation ? kRotationGraceMs : 0;
  if (latest_ms >= entry.expires_ms + grace_ms) {
    return AuthFailureKind::expired;
  }
  return std::nullopt;
}

// A lookup value is the output of an HMAC under a secret pepper: its first bytes are as good a
// hash as any, and nobody outside can choose them to collide.
struct LookupHash {
  std::size_t operator()(const crypto::Digest& lookup) const noexcept {
    std::size_t hash = 0;
    std::memcpy(&hash, lookup.data(), sizeof hash);
    return hash;
  }
};

struct Snapshot {
  std::unordered_map<crypto::Digest, Entry, LookupHash> by_lookup;
  std::unordered_map<KeyId, Entry*> by_id;  // into by_lookup, whose nodes do not move
  std::unordered_map<KeyId, std::shared_ptr<Succession>> successions;  // by the key that goes

  [[nodiscard]] const Entry* find(const KeyId& key_id) const {
    const auto found = by_id.find(key_id);
    return found == by_id.end() ? nullptr : found->second;
  }
};

// Ties each key to the one whose place it takes.
void tie_successions(Snapshot& snapshot, const Snapshot& before) {
  for (auto& [lookup, entry] : snapshot.by_lookup) {
    const auto predecessor = snapshot.by_id.find(entry.predecessor);
    if (predecessor == snapshot.by_id.end()) {
      continue;
    }
    std::shared_ptr<Succession>& shared = snapshot.successions[entry.predecessor];
    if (!shared) {
      const auto known = before.successions.find(entry.predecessor);
      shared = known == before.successions.end() ? std::make_shared<Succession>() : known->second;
    }
    // How the first use is written down: the overlap ended when the successor was made. Two columns
    // say so, and no clock that is set back can deny it.
    if (predecessor->second->overlap_until_ms <= entry.created_ms) {
      shared->begun.store(true);
    }
    entry.begins = shared;
    predecessor->second->ended_by = shared;
  }
}
// Who wants to hear of which key's end. Shared with the watches, which may outlive nothing else.
class Watchers {
 public:
  std::uint64_t add(const KeyId& key_id, std::function<void()> withdrawn) {
    const std::lock_guard lock(mutex_);
    by_key_[key_id].emplace(++last_, std::move(withdrawn));
    return last_;
  }

  void remove(const KeyId& key_id, std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key_id);
    if (found != by_key_.end() && found->second.erase(number) == 1 && found->second.empty()) {
      by_key_.erase(found);
    }
  }

  // Tells, outside the lock, the watchers of all keys that `snapshot` does not let in.
  void tell(const Snapshot& snapshot) {
    std::vector<std::function<void()>> told;
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(by_key_, [&](auto& watched) {
        const auto entry = snapshot.by_id.find(watched.first);
        if (entry != snapshot.by_id.end() && !entry->second->revoked) {
          return false;
        }
        for (auto& [number, withdrawn] : watched.second) {
          told.push_back(std::move(withdrawn));
        }
        return true;
      });
    }
    for (const auto& withdrawn : told) {
      withdrawn();
    }
  }

 private:
  std::mutex mutex_;
  std::uint64_t last_ = 0;
  std::unordered_map<KeyId, std::unordered_map<std::uint64_t, std::function<void()>>> by_key_;
};

std::optional<std::pair<crypto::Digest, Entry>> entry_of(const store::KeyRow& row) {
  const Result<std::string> lookup = from_hex(row.lookup);
  const Result<Role> role = parse_role(row.role);
  const std::optional<KeyKind> kind = parse_kind(row.kind);
  crypto::Digest digest;
  if (!lookup || lookup->size() != digest.size() || !role || !kind) {
    return std::nullopt;
  }
  Result<KeyRules> rules = rules_of(attributes_of(row), *role);
  if (!rules) {
    return std::nullopt;
  }
  std::ranges::copy(*lookup, digest.begin());
  const bool rotated = row.overlap_until_ms != 0;
  return std::pair(
      digest,
      Entry{.principal = {.key_id = KeyId(row.key_id),
                          .client_id = ClientId(row.client_id),
                          .tenant = TenantId(row.tenant),
                          .role = *role,
                          .kind = *kind,
                          .expires_ms = rotated ? std::min(row.expires_ms, row.overlap_until_ms)
                                                : row.expires_ms,
                          .rules = std::make_shared<const KeyRules>(*std::move(rules)),
                          .lineage = KeyId(row.lineage)},
            .created_ms = row.created_ms,
            .expires_ms = row.expires_ms,
            .overlap_until_ms = row.overlap_until_ms,
            .revoked = row.revoked_ms != 0,
            .predecessor = KeyId(row.predecessor),
            .begins = nullptr,
            .ended_by = nullptr});
}

// The key did not prove itself, so the failure names nobody.
std::unexpected<AuthFailure> unproved(AuthFailureKind kind) {
  AuthFailure failure;
  failure.kind = kind;
  return std::unexpected(std::move(failure));
}

AuthFailure proved(AuthFailureKind kind, const Principal& principal) {
  return {.kind = kind,
          .key_id = principal.key_id,
          .client_id = principal.client_id,
          .tenant = principal.tenant};
}

// The dummy row is bound to a network, so that an unknown key costs the look at the address too.
std::shared_ptr<const KeyRules> dummy_rules() {
  KeyAttributes attributes;
  attributes.ip_ranges = {"192.0.2.0/24"};  // TEST-NET-1
  auto rules = rules_of(attributes, Role::user);
  return rules ? std::make_shared<const KeyRules>(*std::move(rules)) : rules_of(Role::user);
}

}  // namespace

bool Principal::may(Permission permission) const {
  return rules != nullptr && rules->permissions.has(permission) &&
         (!needs_home_tenant(permission) || tenant.value() == kHomeTenant);
}

std::string denial_of(const Principal& principal, Permission permission) {
  const std::string_view name = permission_name(permission);
  if (!allowed(principal.role, permission)) {
    return fmt::format("A key of role '{}' may not do this; it needs the permission '{}'.",
                       role_name(principal.role), name);
  }
  if (principal.rules == nullptr || !principal.rules->permissions.has(permission)) {
    return fmt::format(
        "This key's scopes do not hold the permission '{}'; ask your administrator "
        "for a key that has it.",
        name);
  }
  return fmt::format(
      "The permission '{}' is about what all tenants share; it needs a key of the "
      "tenant '{}'.",
      name, kHomeTenant);
}

bool has_ended(AuthFailureKind kind) {
  return kind == AuthFailureKind::revoked || kind == AuthFailureKind::replaced ||
         kind == AuthFailureKind::expired;
}

std::string_view failure_code(AuthFailureKind kind) {
  switch (kind) {
    case AuthFailureKind::missing:
      return "missing_api_key";
    case AuthFailureKind::malformed:
    case AuthFailureKind::unknown:
    case AuthFailureKind::elsewhere:
      return "invalid_api_key";
    case AuthFailureKind::revoked:
      return "key_revoked";
    case AuthFailureKind::replaced:
      return "key_replaced";
    case AuthFailureKind::expired:
      return "key_expired";
  }
  return "invalid_api_key";
}

std::string_view failure_message(AuthFailureKind kind) {
  switch (kind) {
    case AuthFailureKind::missing:
      return "No API key was given. Send it as 'Authorization: Bearer dmk_...' or 'X-API-KEY'.";
    case AuthFailureKind::malformed:
    case AuthFailureKind::unknown:
    case AuthFailureKind::elsewhere:
      return "The API key is not valid here. Check that it was copied whole, and that it may be "
             "used from this address.";
    case AuthFailureKind::revoked:
      return "The API key was revoked. Ask your administrator for a new one.";
    case AuthFailureKind::replaced:
      return "The API key was rotated, and the new one has taken its place. Use the new one.";
    case AuthFailureKind::expired:
      return "The API key has expired. Rotate it with a one-time password within 14 days of its "
             "end, or ask your administrator for a new one.";
  }
  return "The API key is not valid here.";
}

class Authenticator::Impl {
 public:
  Impl(const KeyAuthority& authority, AuthenticatorOptions options)
      : authority_(authority), options_(options), snapshot_(boost::make_shared<Snapshot>()) {
    dummy_.principal.client_id = ClientId("nobody");
    dummy_.created_ms = 1'700'000'000'000;
    dummy_.principal.rules = dummy_rules();
  }

  const KeyAuthority& authority_;
  const AuthenticatorOptions options_;
  // Not std::atomic<std::shared_ptr>: libstdc++ 12 unlocks its load with relaxed order.
  boost::atomic_shared_ptr<const Snapshot> snapshot_;
  std::atomic<std::uint64_t> generation_ = 0;
  std::atomic<UnixMillis> newest_ms_ = 0;
  Entry dummy_;
  const std::shared_ptr<Watchers> watchers_ = std::make_shared<Watchers>();

  UnixMillis latest(UnixMillis now_ms) {
    UnixMillis newest = newest_ms_.load(std::memory_order_relaxed);
    while (now_ms > newest &&
           !newest_ms_.compare_exchange_weak(newest, now_ms, std::memory_order_relaxed)) {
    }
    return std::max(now_ms, newest);
  }

  std::expected<Principal, AuthFailure> check(std::string_view presented, Purpose purpose,
                                              UnixMillis now_ms, std::string_view address) {
    const UnixMillis latest_ms = latest(now_ms);
    const std::optional<ParsedKey> key = parse_key(presented, options_.accept_bare_keys);
    if (!key) {
      return unproved(AuthFailureKind::malformed);
    }
    const boost::shared_ptr<const Snapshot> snapshot = snapshot_.load();
    const Entry* const found = find(*snapshot, *key);
    const Entry& entry = found != nullptr ? *found : dummy_;
    // The snapshot holds rows with a good MAC only, so this proves key and row together.
    const bool proof =
        authority_.check(key->mac, key->salt, entry.principal.client_id.value(), entry.created_ms);
    const bool from_here = entry.principal.rules->ip_ranges.contain(address);
    if (!proof || found == nullptr) {
      return unproved(AuthFailureKind::unknown);
    }
    if (!from_here) {
      // Before anything else is said: from elsewhere a key looks like none, ended or not.
      return std::unexpected(proved(AuthFailureKind::elsewhere, entry.principal));
    }
    if (const auto ended = end_of(entry, purpose, latest_ms)) {
      return std::unexpected(proved(*ended, entry.principal));
    }
    Principal principal = entry.principal;
    if (entry.begins && !entry.begins->begun.load() && !entry.begins->begun.exchange(true)) {
      principal.replaced = entry.predecessor;
    }
    return principal;
  }

  const Entry* find(const Snapshot& snapshot, const ParsedKey& key) const {
    if (key.kind) {
      const auto found = snapshot.by_lookup.find(authority_.lookup(key.shown));
      return found == snapshot.by_lookup.end() ? nullptr : &found->second;
    }
    // The bare form does not say its kind: try all four, always all four.
    const Entry* entry = nullptr;
    for (const Role role : kRoles) {
      const Secret shown = compose_key(kind_of(role), key.shown);
      const auto found = snapshot.by_lookup.find(authority_.lookup(shown.reveal()));
      entry = found == snapshot.by_lookup.end() ? entry : &found->second;
    }
    return entry;
  }
};

Authenticator::Authenticator(const KeyAuthority& authority, AuthenticatorOptions options)
    : impl_(std::make_unique<Impl>(authority, options)) {}
Authenticator::~Authenticator() = default;

std::expected<Principal, AuthFailure> Authenticator::authenticate(std::string_view presented,
                                                                  UnixMillis now_ms,
                                                                  std::string_view address) const {
  return impl_->check(presented, Purpose::call, now_ms, address);
}

std::expected<Principal, AuthFailure> Authenticator::authenticate_for_rotation(
    std::string_view presented, UnixMillis now_ms, std::string_view address) const {
  return impl_->check(presented, Purpose::rotation, now_ms, address);
}

bool Authenticator::may_rotate(const KeyId& key_id, UnixMillis now_ms) const {
  const UnixMillis latest_ms = impl_->latest(now_ms);
  const boost::shared_ptr<const Snapshot> snapshot = impl_->snapshot_.load();
  const Entry* const entry = snapshot->find(key_id);
  return entry != nullptr && !end_of(*entry, Purpose::rotation, latest_ms);
}

std::size_t Authenticator::replace(std::span<const store::KeyRow> rows) {
  auto next = boost::make_shared<Snapshot>();
  next->by_lookup.reserve(rows.size());
  std::size_t refused = 0;
  for (const store::KeyRow& row : rows) {
    const auto entry = entry_of(row);
    if (!entry || !impl_->authority_.row_intact(row)) {
      ++refused;
      continue;
    }
    const auto [place, fresh] = next->by_lookup.insert(*entry);
    if (fresh) {
      next->by_id.emplace(place->second.principal.key_id, &place->second);
    }
  }
  tie_successions(*next, *impl_->snapshot_.load());
  const boost::shared_ptr<const Snapshot> in_force = std::move(next);
  impl_->snapshot_.store(in_force);
  impl_->generation_.fetch_add(1, std::memory_order_release);
  impl_->watchers_->tell(*in_force);
  return refused;
}

KeyWatch Authenticator::watch(const KeyId& key_id, std::function<void()> withdrawn) const {
  const std::shared_ptr<Watchers> watchers = impl_->watchers_;
  const std::uint64_t number = watchers->add(key_id, std::move(withdrawn));
  return KeyWatch([watchers, key_id, number] { watchers->remove(key_id, number); });
}

bool Authenticator::still_valid(const KeyId& key_id, UnixMillis now_ms) const {
  const UnixMillis latest_ms = impl_->latest(now_ms);
  const boost::shared_ptr<const Snapshot> snapshot = impl_->snapshot_.load();
  const Entry* const entry = snapshot->find(key_id);
  return entry != nullptr && !entry->revoked && latest_ms < entry->expires_ms;
}

void Authenticator::observe_time(UnixMillis now_ms) const {
  impl_->latest(now_ms);
}

UnixMillis Authenticator::latest_ms(UnixMillis now_ms) const {
  return impl_->latest(now_ms);
}

std::uint64_t Authenticator::generation() const {
  return impl_->generation_.load(std::memory_order_acquire);
}

}  // namespace deepmoat::identity
