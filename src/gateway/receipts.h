// Proofs of what was recorded of a call, for whoever made it.
#pragma once

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// The receipt of the request that the route names: the caller's own calls, or, to an auditor, those
// of the tenants that he reaches. Of anything else he learns nothing: 404. Blocking, on a thread
// for reading the log; both REQUIRE services.audit_desk.
[[nodiscard]] Response show_receipt(const Services& services, const AuthenticatedCall& call);

// The keys that check receipts and exports, and the newest checkpoint.
[[nodiscard]] Response show_audit_key(const Services& services);

}  // namespace deepmoat::gateway
