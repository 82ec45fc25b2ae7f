// Keeping the checkpoints of other servers' logs (transparency/witness.h) over HTTP.
#pragma once

#include "gateway/audit_admin.h"

namespace deepmoat::gateway {

// Both on a reader's thread; REQUIRE: services.audit_desk. The body is that of C2SP tlog-witness's
// add-checkpoint. 409 has the size that the witness has, in `size`.
[[nodiscard]] Response add_witnessed(const Services& services, const AuthenticatedCall& call);
// The note; nothing where there is none yet.
[[nodiscard]] Response show_witnessed(const Services& services, const AuthenticatedCall& call);

}  // namespace deepmoat::gateway
