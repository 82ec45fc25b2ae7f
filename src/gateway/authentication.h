// What every way to prove oneself shares: authenticate() of the pipeline, the holder of a leaked
// key who fetches the next (successor.h), a person who signs in (sign_in.h).
#pragma once

#include "gateway/call.h"
#include "gateway/services.h"
#include "wire/refusal.h"

namespace deepmoat::gateway {

// 503 custody_unavailable when the root keys have been gone for too long.
[[nodiscard]] wire::OrRefusal<> not_sealed(const Services& services);

// Asked before anything that was presented is looked at: 429 for an address that has failed too
// often, and not_sealed().
[[nodiscard]] wire::OrRefusal<> may_prove(const ReceivedCall& call, const Services& services);

// The 401 of a key; the log learns more than the caller.
[[nodiscard]] wire::Refusal unauthenticated(const identity::AuthFailure& failure);

// Who it was, as far as he proved it, goes into the record; and the failure counts against his
// address.
[[nodiscard]] wire::Refusal count_failure(const identity::AuthFailure& failure,
                                          const ReceivedCall& call, const Services& services,
                                          AuditTrail& trail);

}  // namespace deepmoat::gateway
