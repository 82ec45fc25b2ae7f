// OpenAI's headers about the caller's quota of requests and tokens.
#pragma once

#include "gateway/responder.h"
#include "quota/ledger.h"

namespace deepmoat::gateway {

// Those of the limits that there are; empty without one.
[[nodiscard]] Headers rate_limit_headers(const quota::Allowance& requests,
                                         const quota::Allowance& tokens);

}  // namespace deepmoat::gateway
