// The administrator's interface to leaked keys, incidents, webhooks and client certificates: one
// answer for each route, the same for the running server and for the command line without one.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "gateway/call.h"
#include "gateway/leak_service.h"
#include "gateway/responder.h"
#include "gateway/services.h"
#include "identity/successors.h"
#include "webhook/service.h"
#include "wire/request_reader.h"

namespace deepmoat::gateway {

// What the routes of this file work with.
struct LeakDesk {
  LeakService& leaks;
  webhook::WebhookService& webhooks;
  identity::Successors& successors;
};

[[nodiscard]] bool is_leak(Handler handler);

// What the body of a call says; what its route does not ask for stays empty.
struct LeakRequest {
  std::string reason;
  wire::WebhookRequest webhook;
  wire::CertificateRequest certificate;
};
[[nodiscard]] wire::OrRefusal<LeakRequest> read_leak_request(Handler handler,
                                                             const std::string& body);

// Runs the route's action to its end, on the database's thread. `argument`: as a call has it.
// REQUIRES: is_leak(handler).
[[nodiscard]] Result<nlohmann::ordered_json> act_on_leaks(const LeakDesk& desk, Handler handler,
                                                          const identity::Actor& actor,
                                                          const std::string& argument,
                                                          const LeakRequest& request);

// The same for a call of the running server, where the report of a leak must not hold up the
// database's thread: the next leak may come in meanwhile.
[[nodiscard]] asio::awaitable<Response> answer_leaks(std::shared_ptr<const ReceivedCall> call,
                                                     std::shared_ptr<const identity::Actor> actor,
                                                     Services& services);

// Finishes what an earlier run of the server left half done, on the same threads; returns at once.
void finish_open_leaks(Services& services);

}  // namespace deepmoat::gateway
