#include "gateway/responder.h"

namespace deepmoat::gateway {

Response to_response(const wire::Refusal& refusal, wire::ErrorShape shape,
                     std::string_view request_id) {
  Response response{.status = refusal.status,
                    .body = wire::error_body(refusal, shape, request_id),
                    .headers = refusal.headers,
                    .error_code = refusal.code,
                    .fault = refusal.fault};
  if (refusal.retry_after_s > 0) {
    response.headers.emplace_back("retry-after", std::to_string(refusal.retry_after_s));
  }
  if (refusal.status == 401) {
    response.headers.emplace_back("www-authenticate", "Bearer");  // RFC 6750, section 3
  }
  return response;
}

}  // namespace deepmoat::gateway
