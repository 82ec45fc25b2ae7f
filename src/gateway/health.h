// /livez, /readyz and /health: for load balancers and people; open to all, so they say little.
#pragma once

#include "gateway/responder.h"
#include "gateway/routes.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// "ok", or what keeps the audit log from taking records of calls.
[[nodiscard]] std::string_view audit_state(const Services& services);

[[nodiscard]] Response answer_health(Handler handler, const Services& services);

}  // namespace deepmoat::gateway
