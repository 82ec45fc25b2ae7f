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

namespace deepmoat::gateway {

// What the routes of this file work with.
struct LeakDesk {
  LeakService& leaks;
  webhook::WebhookService& webhooks;
  identity::Successors& successors;
};

[[nodiscard]] bool is_leak(Handler handler);

// Runs the route's action to its end, on the database's thread. `argument`, `body`: as a call has
// them. REQUIRES: is_leak(handler).
[[nodiscard]] Result<nlohmann::ordered_json> act_on_leaks(const LeakDesk& desk, Handler handler,
                                                          const identity::Actor& actor,
                                                          const std::string& argument,
                                                          const std::string& body);

// The same for a call of the running server, where the report of a leak must not hold up the
// database's thread: the next leak may come in meanwhile.
[[nodiscard]] asio::awaitable<Response> answer_leaks(std::shared_ptr<const ReceivedCall> call,
                                                     std::shared_ptr<const identity::Actor> actor,
                                                     Services& services);

}  // namespace deepmoat::gateway
