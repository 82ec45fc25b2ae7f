// GET /v1/keys/successor: an integration whose key was withdrawn fetches the next one, once, with
// its old key and its TLS client certificate. Neither alone is enough. And what administrators see
// of client certificates.
#pragma once

#include <boost/asio/awaitable.hpp>

#include <nlohmann/json.hpp>

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "identity/successors.h"

namespace deepmoat::gateway {

// The whole call: it authenticates in its own way, as its key is one that is refused elsewhere.
[[nodiscard]] asio::awaitable<void> answer_successor(ReceivedCall call, Responder& responder,
                                                     Services& services);

[[nodiscard]] nlohmann::ordered_json certificate_json(const store::ClientCertificateRow& row,
                                                      UnixMillis now_ms);
// With "certificate" and "private_key" in PEM: the only time that the key is shown.
[[nodiscard]] nlohmann::ordered_json issued_json(const identity::IssuedCertificate& issued,
                                                 UnixMillis now_ms);

}  // namespace deepmoat::gateway
