// The auditors' interface to what is kept: content policies, legal holds, and the content itself.
#pragma once

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "identity/audited_action.h"
#include "oversight/content_policy.h"
#include "oversight/content_store.h"
#include "oversight/legal_hold.h"

namespace deepmoat::gateway {

// What its routes and the pipeline (kept_content.h) work with.
struct OversightDesk {
  oversight::ContentPolicies& policies;
  oversight::LegalHolds& holds;
  oversight::ContentStore& contents;
};

[[nodiscard]] bool is_oversight(Handler handler);

// On the database's thread. REQUIRES: is_oversight() of the call's route.
[[nodiscard]] Response act_on_oversight(const Services& services, const identity::Actor& actor,
                                        const ReceivedCall& call);

// Has what is due deleted, on the database's thread; returns at once. To be called at the start and
// then once an hour. It goes by the same time as retention: a clock that was set forward does not
// delete everything (docs/decisions/0010).
void expire_contents(const Services& services);

}  // namespace deepmoat::gateway
