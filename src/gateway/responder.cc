#include "gateway/responder.h"

namespace deepmoat::gateway {

Response to_response(const wire::Refusal& refusal) {
  Response response{
      .status = refusal.status, .body = wire::error_body(refusal), .headers = refusal.headers};
  if (refusal.retry_after_s > 0) {
    response.headers.emplace_back("retry-after", std::to_string(refusal.retry_after_s));
  }
  if (refusal.status == 401) {
    response.headers.emplace_back("www-authenticate", "Bearer");  // RFC 6750, section 3
  }
  return response;
}

}  // namespace deepmoat::gateway
