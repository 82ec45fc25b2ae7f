// /livez, /readyz and /health: for load balancers and people; open to all, so they say little.
#pragma once

#include "gateway/responder.h"
#include "gateway/routes.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

[[nodiscard]] Response answer_health(Handler handler, const Services& services);

}  // namespace deepmoat::gateway
