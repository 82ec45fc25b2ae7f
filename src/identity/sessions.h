// Sessions of people who have signed in: short, bound to the address (and the certificate) that
// they were opened from, and ended at will. A session's token takes the place of a key in a call.
//
// They live in memory alone: nobody finds one in a backup, and a restart ends them all.
// Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/strong.h"
#include "identity/authenticator.h"
#include "identity/roles.h"

namespace deepmoat::identity {

// "dms_" and 64 hex digits of 32 random bytes.
[[nodiscard]] bool is_session_token(std::string_view presented);
// A session's id stands where a key's id would: "ses_" and 24 hex digits.
[[nodiscard]] bool is_session(const KeyId& key_id);

struct SessionOptions {
  std::int64_t idle_ms = 15LL * 60 * 1000;          // without a call
  std::int64_t lifetime_ms = 8LL * 60 * 60 * 1000;  // whatever happens
  std::size_t per_person_max = 10;                  // beyond it the oldest ends
  std::size_t sessions_max = 10'000;                // Code::resource_exhausted beyond it
};

// What a session is bound to.
struct SessionPlace {
  std::string address;      // of the peer, without port
  std::string fingerprint;  // of the client certificate that opened it; empty: a password did
};

struct SessionInfo {
  KeyId id;
  TenantId tenant;
  ClientId name;
  Role role = Role::user;
  SessionPlace place;
  UnixMillis opened_ms = 0;
  UnixMillis used_ms = 0;
  UnixMillis idle_ends_ms = 0;  // without a further call
  UnixMillis ends_ms = 0;
};

struct OpenedSession {
  SessionInfo info;
  Secret token;  // the only time that it exists outside the client
};

class Sessions {
 public:
  explicit Sessions(SessionOptions options = {});
  ~Sessions();
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  // For somebody who proved who he is. `now_ms`, here and below: Authenticator::latest_ms(), so
  // that a clock that is set back revives nothing.
  Result<OpenedSession> open(const TenantId& tenant, const ClientId& name, Role role,
                             SessionPlace place, UnixMillis now_ms);

  // Who presents this token, if its session is open and of this place; a use of it too. What he
  // may: all that his role may but to rotate a key, which a session is not.
  [[nodiscard]] std::optional<Principal> find(std::string_view token, const SessionPlace& place,
                                              UnixMillis now_ms);
  // Whether a call that runs may go on. It is a use of the session: nobody is idle whose answer is
  // still coming.
  [[nodiscard]] bool still_open(const KeyId& id, UnixMillis now_ms);

  // False: there is none.
  bool end(const KeyId& id);
  // How many they were.
  std::size_t end_all_of(const TenantId& tenant, const ClientId& name);

  // Those that the certificate has opened.
  std::size_t end_all_with(std::string_view fingerprint);

  // Open ones, oldest first.
  [[nodiscard]] std::vector<SessionInfo> list(UnixMillis now_ms) const;
  [[nodiscard]] std::optional<SessionInfo> show(const KeyId& id, UnixMillis now_ms) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::identity
