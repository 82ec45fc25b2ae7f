// OpenAI's headers about the caller's quota of requests.
#pragma once

#include <cstdint>

#include "gateway/responder.h"

namespace deepmoat::gateway {

// Empty without a limit. `reset_s`: seconds until the whole quota is there again.
[[nodiscard]] Headers rate_limit_headers(std::uint32_t limit, std::uint32_t remaining,
                                         std::uint32_t reset_s);

}  // namespace deepmoat::gateway
