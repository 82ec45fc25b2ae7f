#include "identity/sessions.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/hex.h"
#include "base/random.h"
#include "crypto/digest.h"
#include "identity/key_attributes.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kTokenPrefix = "dms_";
constexpr std::string_view kIdPrefix = "ses_";
constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kIdBytes = 12;

// A digest's first bytes are as good a hash as any.
struct DigestHash {
  std::size_t operator()(const crypto::Digest& digest) const noexcept {
    std::size_t hash = 0;
    std::memcpy(&hash, digest.data(), sizeof hash);
    return hash;
  }
};

std::shared_ptr<const KeyRules> rules_of_session(Role role) {
  KeyRules rules = *rules_of(role);
  PermissionSet permissions;
  for (const Permission permission : kPermissions) {
    if (permission != Permission::rotate_own_key && rules.permissions.has(permission)) {
      permissions.add(permission);
    }
  }
  rules.permissions = permissions;
  return std::make_shared<const KeyRules>(std::move(rules));
}

}  // namespace

bool is_session_token(std::string_view presented) {
  return presented.starts_with(kTokenPrefix);
}

bool is_session(const KeyId& key_id) {
  return key_id.value().starts_with(kIdPrefix);
}

class Sessions::Impl {
 public:
  explicit Impl(SessionOptions options) : options_(options) {
    for (const Role role : kRoles) {
      rules_.emplace(role, rules_of_session(role));
    }
  }

  [[nodiscard]] bool is_open(const SessionInfo& session, UnixMillis now_ms) const {
    return now_ms < session.ends_ms && now_ms < session.used_ms + options_.idle_ms;
  }

  void drop_ended(UnixMillis now_ms) {
    std::erase_if(by_token_, [&](const auto& held) { return !is_open(held.second, now_ms); });
  }

  void make_room_for(const TenantId& tenant, const ClientId& name) {
    for (;;) {
      std::size_t count = 0;
      auto oldest = by_token_.end();
      for (auto at = by_token_.begin(); at != by_token_.end(); ++at) {
        const SessionInfo& session = at->second;
        if (session.tenant != tenant || session.name != name) {
          continue;
        }
        ++count;
        if (oldest == by_token_.end() || session.opened_ms < oldest->second.opened_ms) {
          oldest = at;
        }
      }
      if (count < options_.per_person_max) {
        return;
      }
      by_token_.erase(oldest);
    }
  }

  [[nodiscard]] const SessionInfo* find_id(const KeyId& id) const {
    const auto found =
        std::ranges::find_if(by_token_, [&](const auto& held) { return held.second.id == id; });
    return found == by_token_.end() ? nullptr : &found->second;
  }

  const SessionOptions options_;
  std::map<Role, std::shared_ptr<const KeyRules>> rules_;  // not changed after construction
  mutable std::mutex mutex_;
  // By the SHA-256 of the token: a dump of the memory shows no token, and how long a look-up takes
  // says nothing of one.
  std::unordered_map<crypto::Digest, SessionInfo, DigestHash> by_token_;
};

Sessions::Sessions(SessionOptions options) : impl_(std::make_unique<Impl>(options)) {}
Sessions::~Sessions() = default;

Result<OpenedSession> Sessions::open(const TenantId& tenant, const ClientId& name, Role role,
                                     SessionPlace place, UnixMillis now_ms) {
  TRY(std::string random, random_bytes(kTokenBytes));
  const Secret bytes(std::move(random));
  TRY(const std::string id, random_bytes(kIdBytes));
  Secret token(std::string(kTokenPrefix) + to_hex(bytes.reveal()));
  SessionInfo info{.id = KeyId(std::string(kIdPrefix) + to_hex(id)),
                   .tenant = tenant,
                   .name = name,
                   .role = role,
                   .place = std::move(place),
                   .opened_ms = now_ms,
                   .used_ms = now_ms,
                   .ends_ms = now_ms + impl_->options_.lifetime_ms};
  const std::lock_guard lock(impl_->mutex_);
  impl_->drop_ended(now_ms);
  impl_->make_room_for(tenant, name);
  if (impl_->by_token_.size() >= impl_->options_.sessions_max) {
    return fail(Code::resource_exhausted, "too many people are signed in; try again later");
  }
  impl_->by_token_.emplace(crypto::sha256(token.reveal()), info);
  return OpenedSession{.info = std::move(info), .token = std::move(token)};
}

std::optional<Principal> Sessions::find(std::string_view token, const SessionPlace& place,
                                        UnixMillis now_ms) {
  const crypto::Digest digest = crypto::sha256(token);
  const std::lock_guard lock(impl_->mutex_);
  const auto found = impl_->by_token_.find(digest);
  if (found == impl_->by_token_.end()) {
    return std::nullopt;
  }
  SessionInfo& session = found->second;
  if (!impl_->is_open(session, now_ms)) {
    impl_->by_token_.erase(found);
    return std::nullopt;
  }
  const bool certified =
      session.place.fingerprint.empty() || session.place.fingerprint == place.fingerprint;
  if (session.place.address != place.address || !certified) {
    return std::nullopt;
  }
  session.used_ms = std::max(session.used_ms, now_ms);
  return Principal{
      .key_id = session.id,
      .client_id = session.name,
      .tenant = session.tenant,
      .role = session.role,
      .kind = kind_of(session.role),
      .expires_ms = session.ends_ms,
      .rules = impl_->rules_.at(session.role),
      // Limits and usage are the person's, whatever session he is in.
      .lineage = KeyId("person/" + session.tenant.value() + "/" + session.name.value())};
}

bool Sessions::still_open(const KeyId& id, UnixMillis now_ms) const {
  const std::lock_guard lock(impl_->mutex_);
  const SessionInfo* session = impl_->find_id(id);
  return session != nullptr && impl_->is_open(*session, now_ms);
}

bool Sessions::end(const KeyId& id) {
  const std::lock_guard lock(impl_->mutex_);
  return std::erase_if(impl_->by_token_, [&](const auto& held) { return held.second.id == id; }) >
         0;
}

std::size_t Sessions::end_all_of(const TenantId& tenant, const ClientId& name) {
  const std::lock_guard lock(impl_->mutex_);
  return std::erase_if(impl_->by_token_, [&](const auto& held) {
    return held.second.tenant == tenant && held.second.name == name;
  });
}

std::vector<SessionInfo> Sessions::list(UnixMillis now_ms) const {
  std::vector<SessionInfo> open;
  {
    const std::lock_guard lock(impl_->mutex_);
    for (const auto& [token, session] : impl_->by_token_) {
      if (impl_->is_open(session, now_ms)) {
        open.push_back(session);
      }
    }
  }
  std::ranges::sort(open, {}, [](const SessionInfo& session) {
    return std::pair(session.opened_ms, session.id.value());
  });
  return open;
}

std::optional<SessionInfo> Sessions::show(const KeyId& id, UnixMillis now_ms) const {
  const std::lock_guard lock(impl_->mutex_);
  const SessionInfo* session = impl_->find_id(id);
  return session != nullptr && impl_->is_open(*session, now_ms) ? std::optional(*session)
                                                                : std::nullopt;
}

}  // namespace deepmoat::identity
