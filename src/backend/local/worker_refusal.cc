#include "backend/local/worker_refusal.h"

#include <algorithm>

#include "backend/unavailable.h"
#include "base/log.h"

namespace deepmoat::backend {

namespace {

// 429: the caller may try again when the worker thinks that there is room.
wire::Refusal try_later(const char* code, const wire::Refused& refused) {
  return {.status = 429,
          .type = "rate_limit_error",
          .code = code,
          .message = refused.message(),
          .retry_after_s = std::max(refused.retry_after_s(), 1U)};
}

}  // namespace

wire::Refusal worker_crashed() {
  return {.status = 500,
          .type = "server_error",
          .code = "worker_crashed",
          .message =
              "The model's worker ended while it answered. It is being started again; send the "
              "call again."};
}

wire::Refusal from_worker(const wire::Refused& refused) {
  switch (refused.kind()) {
    case wire::Refused::INVALID:
      return wire::invalid(refused.param(), refused.message());
    case wire::Refused::CONTEXT_EXCEEDED:
      return wire::invalid(refused.param(), refused.message(), "context_length_exceeded");
    case wire::Refused::UNSUPPORTED:
      return wire::invalid(refused.param(), refused.message(), "unsupported_parameter");
    case wire::Refused::QUEUE_FULL:
      return try_later("queue_full", refused);
    case wire::Refused::DEADLINE:
      return try_later("queue_timeout", refused);
    case wire::Refused::DRAINING:
      return unavailable("draining", refused.message(), 1);
    case wire::Refused::INTERNAL:
    default:
      break;
  }
  log::error("the worker refused a call for a reason of its own", {{"reason", refused.message()}});
  return {.message = "The model could not run this call."};
}

}  // namespace deepmoat::backend
