// The export of the audit log as a stream.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "gateway/audit_trail.h"
#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// Answers the call and writes its result's record. REQUIRES: its intent is on record. An export
// that breaks ends without its last line and without the stream's end, so that nobody takes it for
// a whole one. The client's pace is the export's.
asio::awaitable<void> stream_export(AuthenticatedCall call, Responder& responder,
                                    Services& services, AuditTrail& trail);

}  // namespace deepmoat::gateway
