// The routes of imported models, /admin/v1/catalog.
#pragma once

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "identity/key_service.h"

namespace deepmoat::gateway {

[[nodiscard]] bool is_catalog(Handler handler);

// On the blocking thread, because the database is used. Writes its own audit records.
[[nodiscard]] Response act_on_catalog(const Services& services, const identity::Actor& actor,
                                      const ReceivedCall& call);

}  // namespace deepmoat::gateway
