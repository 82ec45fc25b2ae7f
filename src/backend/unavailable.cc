#include "backend/unavailable.h"

namespace deepmoat::backend {

wire::Refusal unavailable(std::string code, std::string message, std::uint32_t retry_after_s) {
  return {.status = 503,
          .type = "service_unavailable_error",
          .code = std::move(code),
          .message = std::move(message),
          .retry_after_s = retry_after_s};
}

wire::Refusal shutting_down() {
  return unavailable("draining", "The server is shutting down.", 1);
}

}  // namespace deepmoat::backend
