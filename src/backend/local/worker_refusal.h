// What a caller gets when a worker says no, is away, or has died.
#pragma once

#include <cstdint>
#include <string>

#include "wire/refusal.h"
#include "wire/worker.pb.h"

namespace deepmoat::backend {

// 503 with Retry-After.
[[nodiscard]] wire::Refusal unavailable(const char* code, std::string message,
                                        std::uint32_t retry_after_s);

// 503 for calls that the end of the server cuts.
[[nodiscard]] wire::Refusal shutting_down();

// 500: the worker died with the call.
[[nodiscard]] wire::Refusal worker_crashed();

// The worker's own refusal. A message of an internal one stays in the log.
[[nodiscard]] wire::Refusal from_worker(const wire::Refused& refused);

}  // namespace deepmoat::backend
