// What a caller gets when a model is not there at present.
#pragma once

#include <cstdint>
#include <string>

#include "wire/refusal.h"

namespace deepmoat::backend {

// 503 with Retry-After.
[[nodiscard]] wire::Refusal unavailable(std::string code, std::string message,
                                        std::uint32_t retry_after_s);

// 503 for calls that the end of the server cuts.
[[nodiscard]] wire::Refusal shutting_down();

}  // namespace deepmoat::backend
