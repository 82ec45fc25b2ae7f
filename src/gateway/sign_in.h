// People sign in and out: POST /v1/sessions, GET /v1/sessions/current, POST /v1/sessions/end.
#pragma once

#include <boost/asio/awaitable.hpp>

#include <optional>

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// Opens a session. Whoever calls proves himself in the body, or by his client certificate: a key
// or token in the header is not looked at. Attempts that fail count against the address, as wrong
// keys do.
asio::awaitable<void> answer_sign_in(ReceivedCall call, Responder& responder, Services& services);

// Who presents a session's token; none: no open session of this place has it.
[[nodiscard]] std::optional<identity::Principal> principal_of_session(const ReceivedCall& call,
                                                                      const Services& services);

// The two other routes. 404 for a caller with a key. The second on the blocking thread.
[[nodiscard]] Response show_session(const Services& services, const identity::Principal& principal);
[[nodiscard]] Response end_session(const Services& services, const identity::Actor& actor,
                                   const identity::Principal& principal);

// Whether a call that runs may go on: the key or the session that it came with still holds.
[[nodiscard]] bool still_admitted(const identity::Principal& principal, const Services& services);

}  // namespace deepmoat::gateway
