// One client connection: reads HTTP/1.1 requests, hands each to the pipeline, writes its answer.
// Lives on one thread of the server. TLS, plain TCP and the data folder's socket share the code.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <memory>
#include <unordered_set>

#include "gateway/connection_limiter.h"
#include "gateway/services.h"
#include "wire/request_reader.h"

namespace deepmoat::gateway {

namespace asio = boost::asio;

// What a server thread can do to its connections from outside.
class OpenConnection {
 public:
  virtual ~OpenConnection() = default;
  // Closes it now if no call runs on it; otherwise it closes after the call (services.draining).
  virtual void close_if_idle() = 0;
  virtual void close_now() = 0;
};

// What connections of one thread share. Touched by that thread only.
struct Shard {
  Services& services;
  wire::RequestReader reader;
  std::unordered_set<OpenConnection*> open;
};

using TlsStream = asio::ssl::stream<asio::ip::tcp::socket>;

// Each serves a connection until it closes. `shard` outlives it.
asio::awaitable<void> serve_tls(TlsStream stream, ConnectionSlot slot, Shard& shard);
asio::awaitable<void> serve_plain(asio::ip::tcp::socket socket, ConnectionSlot slot, Shard& shard);
// The peer's user id stands for a key: whoever can open the socket owns the data folder.
asio::awaitable<void> serve_local(asio::local::stream_protocol::socket socket, std::uint32_t uid,
                                  Shard& shard);

}  // namespace deepmoat::gateway
