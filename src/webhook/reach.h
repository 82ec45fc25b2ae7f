// How far a webhook may lead. Whoever adds one makes this server open connections, from where it
// stands in the network, and learns what came of them. The administrators of the home tenant run
// the installation and may do that; those of other tenants must not look around in it. Pure;
// thread-safe.
#pragma once

#include <boost/asio/ip/address.hpp>

#include <cstdint>

#include "base/result.h"
#include "webhook/message.h"

namespace deepmoat::webhook {

enum class Reach : std::uint8_t {
  internet,          // addresses that everybody reaches, over TLS
  private_networks,  // and those of RFC 1918, 6598 and 4193 and the like, over TLS
  everything,        // and this machine, plain HTTP there too
};

// Whether a connection may go to `address`. Judges what an address that carries another one leads
// to: ::ffff:127.0.0.1 and 64:ff9b::7f00:1 are this machine. The addresses at which clouds hand out
// a machine's credentials are never private networks.
[[nodiscard]] bool may_reach(const boost::asio::ip::address& address, Reach reach);

// What can be said of a webhook's address before its name is resolved, which may lead elsewhere
// every time: may_reach() has the last word. Code::invalid_argument names the field "url".
[[nodiscard]] Result<> check_reach(const Address& address, Reach reach);

}  // namespace deepmoat::webhook
