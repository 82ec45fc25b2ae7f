#include "gateway/rotate_key.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "gateway/second_factor_admin.h"
#include "gateway/second_factor_json.h"
#include "identity/sessions.h"

namespace deepmoat::gateway {

Response rotate_key(const Services& services, const identity::Actor& actor,
                    const AuthenticatedCall& call, std::int64_t lifetime_days) {
  wire::RequestReader reader;
  const auto code = reader.one_time_password(call.received.body);
  if (!code) {
    return to_response(code.error());
  }
  const auto rotated =
      services.rotation->rotate(actor, call.principal.key_id, *code, lifetime_days * 86'400);
  if (rotated) {
    return {.body = rotated_json(*rotated).dump()};
  }
  return to_response(code_refusal(
      services, rotated.error(),
      {.tenant = call.principal.tenant.value(), .client_id = call.principal.client_id.value()}));
}

void write_down_first_use(const Services& services, identity::Actor actor, KeyId successor) {
  if (services.rotation == nullptr) {
    return;
  }
  boost::asio::post(services.blocking, [rotation = services.rotation, actor = std::move(actor),
                                        successor = std::move(successor)] {
    const auto done = rotation->retire_predecessor(actor, successor);
    if (!done) {
      // In memory it has ended; after a restart the successor's next use ends it again.
      log::error("the end of a rotated key could not be written down",
                 {{"successor", successor.value()}, {"error", done.error().message}});
    }
  });
}

Headers key_end_headers(const identity::Principal& principal, UnixMillis now_ms) {
  const std::int64_t left_ms = principal.expires_ms - now_ms;
  if (principal.key_id.value().empty() || identity::is_session(principal.key_id) ||
      left_ms > identity::kKeyNoticeMs) {
    return {};
  }
  return {{"x-key-expires-in", std::to_string(std::max<std::int64_t>(left_ms, 0) / 1000)}};
}

}  // namespace deepmoat::gateway
