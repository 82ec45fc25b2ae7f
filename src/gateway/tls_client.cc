#include "gateway/tls_client.h"

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace deepmoat::gateway {

Result<asio::ssl::context> tls_client_context(const std::string& ca_file) {
  asio::ssl::context context(asio::ssl::context::tls_client);
  boost::system::error_code error;
  if (ca_file.empty()) {
    context.set_default_verify_paths(error);
  } else {
    context.load_verify_file(ca_file, error);
  }
  if (error) {
    return fail(Code::invalid_argument,
                fmt::format("{} does not load: {}", ca_file, error.message()));
  }
  context.set_verify_mode(asio::ssl::verify_peer, error);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  return context;
}

asio::awaitable<boost::system::error_code> verified_handshake(TlsClientStream& stream,
                                                              std::string host) {
  boost::system::error_code no_address;
  asio::ip::make_address(host, no_address);
  if (no_address) {  // an address has no place in the server name (RFC 6066, section 3)
    SSL_set_tlsext_host_name(stream.native_handle(), host.c_str());
  }
  boost::system::error_code ignored;
  stream.set_verify_callback(asio::ssl::host_name_verification(host), ignored);
  auto [error] = co_await stream.async_handshake(asio::ssl::stream_base::client,
                                                 asio::as_tuple(asio::use_awaitable));
  co_return error;
}

}  // namespace deepmoat::gateway
