// A caller rotates his own key, and is told in time that he has to.
#pragma once

#include <cstdint>

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// POST /v1/keys/rotate. On the blocking thread.
[[nodiscard]] Response rotate_key(const Services& services, const identity::Actor& actor,
                                  const AuthenticatedCall& call, std::int64_t lifetime_days);

// A successor was used for the first time, so the key before it has ended: makes that durable, on
// the blocking thread, while the call goes on.
void write_down_first_use(const Services& services, identity::Actor actor, KeyId successor);

// X-Key-Expires-In: the seconds that are left to the key, from 14 days before its end.
[[nodiscard]] Headers key_end_headers(const identity::Principal& principal, UnixMillis now_ms);

}  // namespace deepmoat::gateway
