// Administration of keys and tenants over HTTP.
#pragma once

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// The route belongs here. Its services write their own audit records.
[[nodiscard]] bool is_key_admin(Handler handler);

// On the blocking thread.
[[nodiscard]] Response act_on_keys(const Services& services, const identity::Actor& actor,
                                   const ReceivedCall& call, std::int64_t lifetime_days);

}  // namespace deepmoat::gateway
