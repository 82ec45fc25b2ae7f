// Two persons at the admin interface: a call that needs a second person is held instead of carried
// out, and another person's approval carries it out (identity/approvals.h).
#pragma once

#include <boost/asio/awaitable.hpp>

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

[[nodiscard]] bool is_approval(Handler handler);

// By the route's row and the configuration in force. A key that could not be made in any case need
// not wait for that.
[[nodiscard]] bool needs_second_person(const ReceivedCall& call, const Services& services);

// 202 with the approval that waits, and on record. A refusal is not on record yet: the call is not
// clear enough for a second person to say yes to.
asio::awaitable<wire::OrRefusal<Response>> hold_for_second_person(AuthenticatedCall call,
                                                                  Services& services);

// On the blocking thread: the routes of approvals. Approving carries the held call out, and its
// answer is the answer. Writes its own audit records.
[[nodiscard]] Response act_on_approvals(const Services& services, const AuthenticatedCall& call);

}  // namespace deepmoat::gateway
