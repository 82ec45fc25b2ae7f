// What authenticated callers ask of the server itself: models, usage, keys, status.
#pragma once

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// The action writes its own audit records (keys: the command line without a server does too).
[[nodiscard]] bool audits_itself(Handler handler);

// How he proved himself, as the audit log has it: "api_key", "session", "local_socket".
[[nodiscard]] std::string authentication_of(const identity::Principal& principal);

// Who did it, for the audit records of what he did.
[[nodiscard]] identity::Actor actor_of(const ReceivedCall& call,
                                       const identity::Principal& principal);

// On the blocking thread: the actions on keys, tenants, second factors, the catalog and custody.
[[nodiscard]] Response act_as(const Services& services, const identity::Actor& actor,
                              const ReceivedCall& call);

// Runs the action of an authenticated call's route.
asio::awaitable<Response> act(AuthenticatedCall call, Services& services);

}  // namespace deepmoat::gateway
