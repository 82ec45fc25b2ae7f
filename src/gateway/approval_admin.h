// Two persons at the admin interface: a call that needs a second person is held instead of carried
// out, and another person's approval carries it out (identity/approvals.h).
#pragma once

#include <boost/asio/awaitable.hpp>

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

[[nodiscard]] bool is_approval(Handler handler);

// Whether it takes two persons to make somebody of this role: one who may approve, and one who
// reads what others asked. An administrator who could make himself an auditor would be both of
// those whom the roles keep apart.
[[nodiscard]] bool made_by_two(identity::Role role);

// Whether one person may not do it alone where two are wanted, by the route's row and what the call
// makes of somebody. False for a body that its route will refuse.
[[nodiscard]] bool needs_two_persons(const Route& route, const std::string& body);
// The same, with the configuration in force.
[[nodiscard]] bool needs_second_person(const ReceivedCall& call, const Services& services);

// 202 with the approval that waits, and on record. A refusal is not on record yet: the call is not
// clear enough for a second person to say yes to.
asio::awaitable<wire::OrRefusal<Response>> hold_for_second_person(AuthenticatedCall call,
                                                                  Services& services);

// On the blocking thread: the routes of approvals. Approving carries the held call out, and its
// answer is the answer. Writes its own audit records.
[[nodiscard]] Response act_on_approvals(const Services& services, const AuthenticatedCall& call);

}  // namespace deepmoat::gateway
