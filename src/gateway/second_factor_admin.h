// Routes of second factors: an administrator enrols, confirms, shows and removes them.
#pragma once

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

[[nodiscard]] bool is_second_factor(Handler handler);

// On the blocking thread.
[[nodiscard]] Response act_on_second_factors(const Services& services, const identity::Actor& actor,
                                             const ReceivedCall& call);

// The refusal of an error of identity::SecondFactors: codes of its own, and how long to wait.
[[nodiscard]] wire::Refusal second_factor_refusal(const Services& services, const Error& error,
                                                  const identity::FactorOwner& owner);

// The same for the holder of a key who gave a code of his own: he is told what is wrong with the
// code, or 403 `second_factor_missing` when there is no factor that it could be of.
[[nodiscard]] wire::Refusal code_refusal(const Services& services, const Error& error,
                                         const identity::FactorOwner& owner);

}  // namespace deepmoat::gateway
