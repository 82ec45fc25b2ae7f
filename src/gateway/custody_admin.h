// The root keys, for administrators: how they are, and the roll to a new generation.
#pragma once

#include <nlohmann/json.hpp>

#include "crypto/custody.h"
#include "crypto/custody_watch.h"
#include "crypto/envelope.h"
#include "gateway/responder.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

// As an administrator sees it; the command line without a server shows the same.
[[nodiscard]] nlohmann::ordered_json custody_json(const crypto::CustodyFacts& facts,
                                                  const crypto::CustodyHealth& health,
                                                  const crypto::EnvelopeStatus& envelope);
[[nodiscard]] nlohmann::ordered_json roll_json(const crypto::RollReport& report);

// Never waits for a token.
[[nodiscard]] Response answer_custody_status(const Services& services);
// Blocking, for as long as the token takes.
[[nodiscard]] Response roll_custody(const Services& services);

}  // namespace deepmoat::gateway
