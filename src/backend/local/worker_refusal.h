// What a caller gets when a worker says no or has died.
#pragma once

#include "wire/refusal.h"
#include "wire/worker.pb.h"

namespace deepmoat::backend {

// 500: the worker died with the call.
[[nodiscard]] wire::Refusal worker_crashed();

// The worker's own refusal. A message of an internal one stays in the log.
[[nodiscard]] wire::Refusal from_worker(const wire::Refused& refused);

}  // namespace deepmoat::backend
