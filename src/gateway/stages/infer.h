// Runs a call on its backend and passes the answer on as it comes.
#pragma once

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// Streams everything but the end: what closes the answer waits for the audit record. When the
// client goes away, or its key is revoked, generation is stopped and what had run is returned.
[[nodiscard]] asio::awaitable<FinishedCall> infer(RoutedCall call, Responder& responder,
                                                  const Services& services, AuditTrail& trail);

// All that the model said; numbers (vectors, scores) are not in it.
[[nodiscard]] std::string said_text(const wire::Answer& answer);

// Headers of a streamed answer.
[[nodiscard]] Headers stream_headers(const FinishedCall& call);

}  // namespace deepmoat::gateway
