// The whole path of one call, in one file:
// listen -> authenticate -> admit -> classify -> route -> infer -> account -> audit -> respond.
#pragma once

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "wire/request_reader.h"

namespace deepmoat::gateway {

// Answers one call. `call.route` is known. Runs on the connection's thread; never throws.
asio::awaitable<void> run_call(ReceivedCall call, Responder& responder, Services& services,
                               wire::RequestReader& reader);

// Answers with a refusal, which is on record before it is answered.
asio::awaitable<void> refuse(wire::Refusal refusal, wire::ErrorShape shape, Responder& responder,
                             AuditTrail& trail);

// Answers what has no route, 404 or 405, audited like every refusal.
asio::awaitable<void> refuse_call(ReceivedCall call, wire::Refusal refusal, Responder& responder,
                                  Services& services);

}  // namespace deepmoat::gateway
