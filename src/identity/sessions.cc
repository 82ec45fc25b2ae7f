#include "identity/sessions.h"

#include <algorithm>
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

// Of the token's digest: whoever has the token has the id, and nobody with the id has the token.
KeyId id_of(const crypto::Digest& token) {
  return KeyId(std::string(kIdPrefix) + to_hex(crypto::view(token).substr(0, kIdBytes)));
}

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
    return now_ms < session.ends_ms && now_ms < session.idle_ends_ms;
  }

  void use(SessionInfo& session, UnixMillis now_ms) const {
    session.used_ms = std::max(session.used_ms, now_ms);
    session.idle_ends_ms = session.used_ms + options_.idle_ms;
  }

  // The open session of this id; null: there is none.
  [[nodiscard]] SessionInfo* find_open(const KeyId& id, UnixMillis now_ms) {
    const auto found = held_.find(id);
    return found != held_.end() && is_open(found->second.info, now_ms) ? &found->second.info
                                                                       : nullptr;
  }

  void drop_ended(UnixMillis now_ms) {
    std::erase_if(held_, [&](const auto& held) { return !is_open(held.second.info, now_ms); });
  }

  // Ends the oldest of a person who has as many as he may.
  void make_room_for(const TenantId& tenant, const ClientId& name) {
    std::size_t count = 0;
    auto oldest = held_.end();
    for (auto at = held_.begin(); at != held_.end(); ++at) {
      const SessionInfo& session = at->second.info;
      if (session.tenant != tenant || session.name != name) {
        continue;
      }
      ++count;
      if (oldest == held_.end() || session.opened_ms < oldest->second.info.opened_ms) {
        oldest = at;
      }
    }
    if (count >= options_.per_person_max) {
      held_.erase(oldest);
    }
  }

  // The SHA-256 of the token: a dump of the memory shows no token, and how long a look-up takes
  // says nothing of one.
  struct Held {
    SessionInfo info;
    crypto::Digest token;
  };

  const SessionOptions options_;
  std::map<Role, std::shared_ptr<const KeyRules>> rules_;  // not changed after construction
  mutable std::mutex mutex_;
  std::unordered_map<KeyId, Held> held_;
};

Sessions::Sessions(SessionOptions options) : impl_(std::make_unique<Impl>(options)) {}
Sessions::~Sessions() = default;

Result<OpenedSession> Sessions::open(const TenantId& tenant, const ClientId& name, Role role,
                                     SessionPlace place, UnixMillis now_ms) {
  TRY(std::string random, random_bytes(kTokenBytes));
  const Secret bytes(std::move(random));
  Secret token(std::string(kTokenPrefix) + to_hex(bytes.reveal()));
  const crypto::Digest digest = crypto::sha256(token.reveal());
  SessionInfo info{.id = id_of(digest),
                   .tenant = tenant,
                   .name = name,
                   .role = role,
                   .place = std::move(place),
                   .opened_ms = now_ms,
                   .used_ms = now_ms,
                   .idle_ends_ms = now_ms + impl_->options_.idle_ms,
                   .ends_ms = now_ms + impl_->options_.lifetime_ms};
  const std::lock_guard lock(impl_->mutex_);
  impl_->drop_ended(now_ms);
  impl_->make_room_for(tenant, name);
  if (impl_->held_.size() >= impl_->options_.sessions_max) {
    return fail(Code::resource_exhausted, "too many people are signed in; try again later");
  }
  impl_->held_.emplace(info.id, Impl::Held{.info = info, .token = digest});
  return OpenedSession{.info = std::move(info), .token = std::move(token)};
}

std::optional<Principal> Sessions::find(std::string_view token, const SessionPlace& place,
                                        UnixMillis now_ms) {
  const crypto::Digest digest = crypto::sha256(token);
  const std::lock_guard lock(impl_->mutex_);
  const auto found = impl_->held_.find(id_of(digest));
  if (found == impl_->held_.end() ||
      !crypto::equal_constant_time(crypto::view(found->second.token), crypto::view(digest))) {
    return std::nullopt;
  }
  SessionInfo& session = found->second.info;
  if (!impl_->is_open(session, now_ms)) {
    impl_->held_.erase(found);
    return std::nullopt;
  }
  const bool certified =
      session.place.fingerprint.empty() || session.place.fingerprint == place.fingerprint;
  if (session.place.address != place.address || !certified) {
    return std::nullopt;
  }
  impl_->use(session, now_ms);
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

bool Sessions::still_open(const KeyId& id, UnixMillis now_ms) {
  const std::lock_guard lock(impl_->mutex_);
  SessionInfo* session = impl_->find_open(id, now_ms);
  if (session != nullptr) {
    impl_->use(*session, now_ms);
  }
  return session != nullptr;
}

bool Sessions::end(const KeyId& id) {
  const std::lock_guard lock(impl_->mutex_);
  return impl_->held_.erase(id) > 0;
}

std::size_t Sessions::end_all_of(const TenantId& tenant, const ClientId& name) {
  const std::lock_guard lock(impl_->mutex_);
  return std::erase_if(impl_->held_, [&](const auto& held) {
    return held.second.info.tenant == tenant && held.second.info.name == name;
  });
}

std::size_t Sessions::end_all_with(std::string_view fingerprint) {
  const std::lock_guard lock(impl_->mutex_);
  return std::erase_if(impl_->held_, [&](const auto& held) {
    return held.second.info.place.fingerprint == fingerprint;
  });
}

std::vector<SessionInfo> Sessions::list(UnixMillis now_ms) const {
  std::vector<SessionInfo> open;
  {
    const std::lock_guard lock(impl_->mutex_);
    for (const auto& [id, held] : impl_->held_) {
      if (impl_->is_open(held.info, now_ms)) {
        open.push_back(held.info);
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
  const SessionInfo* session = impl_->find_open(id, now_ms);
  return session != nullptr ? std::optional(*session) : std::nullopt;
}

}  // namespace deepmoat::identity
