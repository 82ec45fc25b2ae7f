// /v1/keys/successor: a client whose key was withdrawn fetches the next one, once, with its old key
// and its TLS client certificate (GET) or a code of its second factor (POST). None of them alone is
// enough. And what administrators see of client certificates.
#pragma once

#include <boost/asio/awaitable.hpp>

#include <nlohmann/json.hpp>

#include "gateway/call.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "identity/successors.h"

namespace deepmoat::gateway {

[[nodiscard]] bool is_successor(Handler handler);

// The whole call: it authenticates in its own way, as its key is one that is refused elsewhere.
[[nodiscard]] asio::awaitable<void> answer_successor(ReceivedCall call, Responder& responder,
                                                     Services& services);

// With "key": the only time that it is shown. `old_key_id`: whose place it takes.
[[nodiscard]] nlohmann::ordered_json fetched_json(const identity::FetchedKey& fetched,
                                                  const std::string& old_key_id);

[[nodiscard]] nlohmann::ordered_json certificate_json(const identity::CertificateInfo& info);
// With "certificate" and "private_key" in PEM: the only time that the key is shown.
[[nodiscard]] nlohmann::ordered_json issued_json(const identity::IssuedCertificate& issued);

}  // namespace deepmoat::gateway
