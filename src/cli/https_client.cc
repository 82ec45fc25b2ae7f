#include "cli/https_client.h"

#include <fmt/format.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <charconv>
#include <exception>
#include <utility>
#include <vector>

#include "gateway/name_lookup.h"
#include "gateway/tls_client.h"
#include "webhook/message.h"

namespace deepmoat::cli {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

using Tcp = asio::ip::tcp;
using Request = http::request<http::string_body>;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::uint64_t kAnswerBytesMax = 128 * 1024;
constexpr std::string_view kScheme = "https://";

Request make_request(const HttpsServer& server, const std::string& method,
                     const std::string& target, const std::string& body, const Secret& key) {
  Request request;
  request.method_string(method);
  request.target(target);
  request.version(11);
  request.set(http::field::host, server.host_header);
  request.set(http::field::user_agent, "Deepmoat");
  request.set(http::field::connection, "close");
  request.set("x-api-key", beast::string_view(key.reveal().data(), key.reveal().size()));
  request.body() = body;
  request.prepare_payload();
  return request;
}

std::unexpected<Error> failed(std::string_view step, const boost::system::error_code& error) {
  const bool late = error == beast::error::timeout || error == asio::error::operation_aborted;
  return fail(Code::unavailable,
              fmt::format("{}: {}", step, late ? "no answer in time" : error.message()));
}

HttpsAnswer answer_of(http::response<http::string_body> response) {
  HttpsAnswer answer{.status = static_cast<int>(response.result_int()),
                     .body = std::move(response.body()),
                     .key_expires_in_s = std::nullopt};
  const beast::string_view left = response["x-key-expires-in"];
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(left.data(), left.data() + left.size(), seconds);
  if (!left.empty() && error == std::errc() && end == left.data() + left.size()) {
    answer.key_expires_in_s = seconds;
  }
  return answer;
}

asio::awaitable<Result<HttpsAnswer>> exchange(asio::io_context& context, const HttpsServer& server,
                                              const Request& request, asio::ssl::context& tls,
                                              gateway::NameLookup& names,
                                              std::chrono::seconds patience) {
  const auto deadline = asio::steady_timer(context, patience).expiry();
  const Result<gateway::NameLookup::Addresses> found =
      co_await names.look_up("node", server.host, patience);
  if (!found) {
    co_return fail(Code::unavailable, "resolve: " + found.error().message);
  }
  std::uint16_t port = 0;
  std::from_chars(server.port.data(), server.port.data() + server.port.size(), port);
  std::vector<Tcp::endpoint> endpoints;
  for (const asio::ip::address& address : *found) {
    endpoints.emplace_back(address, port);
  }
  gateway::TlsClientStream stream(context, tls);
  stream.next_layer().expires_at(deadline);
  auto [connect_error, endpoint] = co_await stream.next_layer().async_connect(endpoints, kAwait);
  if (connect_error) {
    co_return failed("connect", connect_error);
  }
  const auto tls_error = co_await gateway::verified_handshake(stream, server.host);
  if (tls_error) {
    co_return failed("TLS", tls_error);
  }
  auto [write_error, written] = co_await http::async_write(stream, request, kAwait);
  if (write_error) {
    co_return failed("send", write_error);
  }
  beast::flat_buffer buffer(kAnswerBytesMax);
  http::response_parser<http::string_body> parser;
  parser.body_limit(kAnswerBytesMax);
  auto [read_error, read] = co_await http::async_read(stream, buffer, parser, kAwait);
  if (read_error) {
    co_return failed("receive", read_error);
  }
  co_return answer_of(parser.release());
}

}  // namespace

Result<HttpsServer> parse_server(const std::string& url, std::string ca_file) {
  const bool https = url.starts_with(kScheme);
  const auto address = webhook::parse_url(url);
  if (!https || !address || address->target != "/") {
    return fail(Code::invalid_argument,
                fmt::format("\"{}\" is no server's address; write https://host:port", url));
  }
  return HttpsServer{.host = address->host,
                     .port = address->port,
                     .host_header = address->host_header,
                     .ca_file = std::move(ca_file)};
}

Result<HttpsAnswer> ask_https(const HttpsServer& server, const std::string& method,
                              const std::string& target, const std::string& body, const Secret& key,
                              std::chrono::seconds patience) {
  TRY(asio::ssl::context tls, gateway::tls_client_context(server.ca_file));
  const Request request = make_request(server, method, target, body, key);
  asio::io_context context{1};
  gateway::NameLookup names;
  Result<HttpsAnswer> answer = fail(Code::internal, "the request ended without an answer");
  asio::co_spawn(context, exchange(context, server, request, tls, names, patience),
                 [&answer](const std::exception_ptr& failure, Result<HttpsAnswer> got) {
                   if (!failure) {
                     answer = std::move(got);
                   }
                 });
  context.run();
  return answer;
}

}  // namespace deepmoat::cli
