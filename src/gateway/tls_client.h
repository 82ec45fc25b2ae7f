// TLS towards other servers: verified, 1.2 at least.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include <string>

#include "base/result.h"

namespace deepmoat::gateway {

namespace asio = boost::asio;

using TlsClientStream = asio::ssl::stream<boost::beast::tcp_stream>;

// `ca_file`: authorities (PEM) that servers are checked against; empty: the system's.
// Code::invalid_argument when it does not load.
[[nodiscard]] Result<asio::ssl::context> tls_client_context(const std::string& ca_file);

// For a connected stream. Fails unless the certificate is one for `host`, a name or an address.
[[nodiscard]] asio::awaitable<boost::system::error_code> verified_handshake(TlsClientStream& stream,
                                                                            std::string host);

}  // namespace deepmoat::gateway
