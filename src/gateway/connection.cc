#include "gateway/connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "crypto/x509.h"
#include "gateway/pipeline.h"
#include "gateway/request_id.h"
#include "gateway/responder.h"

namespace deepmoat::gateway {

namespace beast = boost::beast;
namespace http = beast::http;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

using Parser = http::request_parser<http::string_body>;

std::string_view to_view(beast::string_view text) {
  return {text.data(), text.size()};
}

// The key of "Authorization: Bearer ..." or "X-API-KEY".
std::string presented_key(const Parser::value_type& request) {
  const std::string_view authorization = to_view(request[http::field::authorization]);
  constexpr std::string_view kBearer = "bearer ";
  if (authorization.size() > kBearer.size() &&
      beast::iequals({authorization.data(), kBearer.size()}, {kBearer.data(), kBearer.size()})) {
    return std::string(authorization.substr(kBearer.size()));
  }
  return std::string(to_view(request["x-api-key"]));
}

// What the parser lets through and RFC 9112 does not. A proxy in front of us must never see
// another end of a request than we do.
std::optional<std::string_view> framing_fault(const Parser::value_type& request) {
  const std::size_t hosts = request.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && request.version() >= 11)) {
    return "a request has exactly one Host";  // section 3.2
  }
  const std::size_t encodings = request.count(http::field::transfer_encoding);
  if (encodings == 0) {
    return std::nullopt;
  }
  const bool chunked_alone =
      encodings == 1 && beast::iequals(request[http::field::transfer_encoding], "chunked");
  if (!chunked_alone || request.version() < 11) {
    return "Transfer-Encoding may only be chunked, and only in HTTP/1.1";  // section 6.1
  }
  return std::nullopt;
}

// Whom the peer's certificate names: one of our CA's, which the handshake has verified.
std::optional<identity::CertifiedClient> certified_client(SSL* tls) {
  const crypto::CertificatePtr certificate(SSL_get1_peer_certificate(tls));
  if (!certificate || SSL_get_verify_result(tls) != X509_V_OK) {
    return std::nullopt;
  }
  auto client = identity::parse_client_uri(crypto::client_uri(*certificate));
  auto fingerprint = crypto::fingerprint(*certificate);
  if (!client || !fingerprint) {
    return std::nullopt;
  }
  client->fingerprint = *std::move(fingerprint);
  return client;
}

template <class Stream>
class Connection final : public Responder,
                         public OpenConnection,
                         public std::enable_shared_from_this<Connection<Stream>> {
 public:
  Connection(Stream stream, std::string address, std::optional<std::uint32_t> local_uid,
             Shard& shard)
      : stream_(std::move(stream)),
        address_(std::move(address)),
        local_uid_(local_uid),
        shard_(shard),
        config_(shard.services.config.get()),
        deadline_(stream_.get_executor()),
        read_ended_(stream_.get_executor()) {
    shard_.open.insert(this);
  }

  ~Connection() override { shard_.open.erase(this); }

  asio::awaitable<void> run() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      arm_deadline(config_->server.request_timeout_s);
      auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
      if (error) {
        co_return;
      }
      certified_ = certified_client(stream_.native_handle());
    }
    for (;;) {
      config_ = shard_.services.config.get();
      const bool another = co_await serve_one();
      if (!another) {
        break;
      }
    }
    co_await close_politely();
  }

  // Responder

  asio::awaitable<bool> send(Response response) override {
    if (!response.fault.empty()) {
      log::error("a request failed", {{"request_id", request_id_}, {"error", response.fault}});
    }
    http::response<http::string_body> message{static_cast<http::status>(response.status), version_};
    message.set(http::field::content_type, response.content_type);
    message.set(http::field::cache_control, "no-store");
    set_shared_headers(message, response.headers);
    message.body() = std::move(response.body);
    message.keep_alive(keep_alive_);
    message.prepare_payload();
    bytes_sent_ += message.body().size();
    arm_deadline(config_->server.request_timeout_s);
    if (head_) {
      http::response_serializer<http::string_body> serializer{message};
      auto [error, bytes] = co_await http::async_write_header(stream_, serializer, kAwait);
      note_write(error);
    } else {
      auto [error, bytes] = co_await http::async_write(stream_, message, kAwait);
      note_write(error);
    }
    disarm_deadline();
    co_return !gone_;
  }

  asio::awaitable<bool> begin_stream(Headers headers) override {
    chunked_ = version_ >= 11;
    keep_alive_ = keep_alive_ && chunked_;
    http::response<http::empty_body> message{http::status::ok, version_};
    set_shared_headers(message, headers);
    message.keep_alive(keep_alive_);
    message.chunked(chunked_);
    http::response_serializer<http::empty_body> serializer{message};
    arm_deadline(config_->server.request_timeout_s);
    auto [error, bytes] = co_await http::async_write_header(stream_, serializer, kAwait);
    disarm_deadline();
    note_write(error);
    co_return !gone_;
  }

  asio::awaitable<bool> stream(std::string bytes) override {
    bytes_sent_ += bytes.size();
    std::string piece =
        chunked_ ? fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes) : std::move(bytes);
    co_await write(std::move(piece));
    co_return !gone_;
  }

  asio::awaitable<bool> end_stream(bool complete) override {
    if (!complete) {
      keep_alive_ = false;
      co_return !gone_;
    }
    if (chunked_) {
      std::string last = "0\r\n\r\n";
      co_await write(std::move(last));
    }
    co_return !gone_;
  }

  void add_headers(Headers headers) override {
    std::ranges::move(headers, std::back_inserter(added_headers_));
  }

  void watch(std::function<void()> gone) override {
    on_gone_ = std::move(gone);
    read_ahead();
  }

  [[nodiscard]] std::uint64_t bytes_sent() const override { return bytes_sent_; }

  // OpenConnection

  void close_if_idle() override {
    if (!in_call_) {
      close_now();
    }
  }

  void close_now() override {
    boost::system::error_code ignored;
    lowest().close(ignored);
  }

 private:
  auto& lowest() { return stream_.lowest_layer(); }

  auto& under_tls() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      return stream_.next_layer();
    } else {
      return stream_;
    }
  }

  // A passed deadline closes the socket: whatever waited on it then ends with an error.
  void arm_deadline(std::int64_t seconds) {
    deadline_.expires_after(std::chrono::seconds(seconds));
    deadline_.async_wait([weak = this->weak_from_this()](boost::system::error_code error) {
      const auto self = weak.lock();
      if (!error && self) {
        self->close_now();
      }
    });
  }

  void disarm_deadline() { deadline_.cancel(); }

  void note_write(boost::system::error_code error) {
    if (error) {
      gone_ = true;
      keep_alive_ = false;
    }
  }

  asio::awaitable<void> write(std::string bytes) {
    if (gone_) {
      co_return;
    }
    arm_deadline(config_->server.request_timeout_s);
    const asio::const_buffer buffer = asio::buffer(bytes);
    auto [error, written] = co_await asio::async_write(stream_, buffer, kAwait);
    disarm_deadline();
    note_write(error);
  }

  template <class Message>
  void set_shared_headers(Message& message, const Headers& headers) {
    message.set("x-request-id", request_id_);
    message.set("x-content-type-options", "nosniff");
    for (const Headers* const list : {&std::as_const(added_headers_), &headers}) {
      for (const auto& [name, value] : *list) {
        message.set(name, value);
      }
    }
  }

  // While a call runs, one read stands ready: it sees the client go, and keeps what a pipelining
  // client sends early for the next request. Bytes that are here already are that request: then
  // no read may stand in its way, and a client that goes is seen by the next write.
  void read_ahead() {
    if (reading_ || buffer_.size() > 0) {
      return;
    }
    reading_ = true;
    stream_.async_read_some(
        buffer_.prepare(4096),
        [self = this->shared_from_this()](boost::system::error_code error, std::size_t bytes) {
          self->took_ahead(error, bytes);
        });
  }

  void took_ahead(boost::system::error_code error, std::size_t bytes) {
    reading_ = false;
    if (error) {
      gone_ = true;
      keep_alive_ = false;
      if (on_gone_) {
        std::exchange(on_gone_, nullptr)();
      }
    } else {
      buffer_.commit(bytes);
    }
    read_ended_.cancel();
  }

  // Waits until the standing read has ended, which is when the next request begins to arrive.
  asio::awaitable<void> finish_reading_ahead() {
    while (reading_) {
      read_ended_.expires_at(std::chrono::steady_clock::time_point::max());
      co_await read_ended_.async_wait(kAwait);
    }
  }

  // False: the connection ends.
  asio::awaitable<bool> serve_one() {
    arm_deadline(config_->server.idle_timeout_s);
    co_await finish_reading_ahead();
    if (gone_) {
      co_return false;
    }
    Parser parser;
    parser.header_limit(limits::kHeaderBytesMax);
    parser.body_limit(static_cast<std::uint64_t>(config_->server.body_bytes_max));
    request_id_.clear();
    auto [error, bytes] = co_await http::async_read_header(stream_, buffer_, parser, kAwait);
    in_call_ = true;
    arm_deadline(config_->server.request_timeout_s);
    if (!error && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await write(std::move(go_on));
      arm_deadline(config_->server.request_timeout_s);
    }
    if (!error) {
      auto [body_error, body_bytes] = co_await http::async_read(stream_, buffer_, parser, kAwait);
      error = body_error;
    }
    disarm_deadline();
    if (error) {
      co_await refuse_unreadable(error);
      co_return false;
    }
    const bool served = co_await serve_request(parser.release());
    in_call_ = false;
    on_gone_ = nullptr;
    const bool another = served && keep_alive_ && !gone_ && !shard_.services.draining;
    co_return another;
  }

  // What could not be read as HTTP gets its answer, then the connection closes: where the next
  // request would begin is not known any more.
  asio::awaitable<void> refuse_unreadable(boost::system::error_code error) {
    keep_alive_ = false;
    unread_ = true;
    version_ = 11;
    head_ = false;
    wire::Refusal refusal;
    if (error == http::error::body_limit) {
      refusal = {.status = 413,
                 .type = "invalid_request_error",
                 .code = "request_too_large",
                 .message = fmt::format("The request body may have at most {} bytes.",
                                        config_->server.body_bytes_max)};
    } else if (error == http::error::header_limit) {
      refusal = {.status = 431,
                 .type = "invalid_request_error",
                 .code = "headers_too_large",
                 .message = fmt::format("The headers may have at most {} bytes.",
                                        limits::kHeaderBytesMax)};
    } else if (error.category() == http::make_error_code(http::error::bad_version).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      refusal = wire::invalid("", "The request is not valid HTTP/1.1: " + error.message(),
                              "invalid_http");
    } else {
      co_return;  // the client left, or took too long
    }
    const auto id = choose_request_id("");
    request_id_ = id ? id->value() : "";
    Response response = to_response(refusal);
    co_await send(std::move(response));
  }

  asio::awaitable<bool> serve_request(Parser::value_type request) {
    version_ = request.version();
    keep_alive_ = request.keep_alive();
    head_ = request.method() == http::verb::head;
    bytes_sent_ = 0;
    added_headers_.clear();
    const auto id = choose_request_id(to_view(request["x-request-id"]));
    if (!id) {
      log::error("no randomness for a request id", {{"error", id.error().message}});
      co_return false;
    }
    request_id_ = id->value();
    if (const auto fault = framing_fault(request)) {
      keep_alive_ = false;
      Response response = to_response(wire::invalid(
          "", fmt::format("The request is not valid HTTP/1.1: {}", *fault), "invalid_http"));
      co_await send(std::move(response));
      co_return false;
    }
    ReceivedCall call{.request_id = *id,
                      .presented_key = presented_key(request),
                      .address = address_,
                      .local_uid = local_uid_,
                      .certified = certified_,
                      .stated_class = std::string(to_view(request["x-deepmoat-data-class"])),
                      .received_ns = shard_.services.clock.mono_ns()};
    const auto target =
        boost::urls::parse_origin_form({request.target().data(), request.target().size()});
    std::string path = target ? target->path() : std::string();
    RouteMatch match = match_route(to_view(request.method_string()), path);
    call.route = match.route;
    call.argument = std::move(match.argument);
    call.body = std::move(request.body());
    if (target) {
      for (const auto& parameter : target->params()) {
        call.query.emplace_back(parameter.key, parameter.value);
      }
    }
    if (match.route == nullptr) {
      co_await refuse_unrouted(std::move(call), match, to_view(request.method_string()), path);
    } else {
      co_await run_call(std::move(call), *this, shard_.services, shard_.reader);
    }
    co_return true;
  }

  asio::awaitable<void> refuse_unrouted(ReceivedCall call, RouteMatch match,
                                        std::string_view method, std::string_view path) {
    wire::Refusal refusal{
        .status = 404,
        .type = "invalid_request_error",
        .code = "unknown_url",
        .message = fmt::format("Unknown request URL: {} {}. Check the method and the path.", method,
                               path)};
    if (match.path_known) {
      refusal.status = 405;
      refusal.code = "method_not_allowed";
      refusal.message = fmt::format("{} takes {}.", path, match.allowed_methods);
      // RFC 9110, section 15.5.6
      refusal.headers.emplace_back("allow", std::move(match.allowed_methods));
    }
    co_await refuse_call(std::move(call), std::move(refusal), *this, shard_.services);
  }

  asio::awaitable<void> close_politely() {
    if (gone_) {
      close_now();
      co_return;
    }
    arm_deadline(2);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      if (!reading_) {
        [[maybe_unused]] const auto ended = co_await stream_.async_shutdown(kAwait);
      }
    }
    boost::system::error_code ignored;
    lowest().shutdown(asio::socket_base::shutdown_send, ignored);
    if (unread_) {
      co_await discard_the_rest();
    }
    close_now();
    disarm_deadline();
  }

  // Closing a socket with unread bytes resets it, and the client loses the answer that says why.
  asio::awaitable<void> discard_the_rest() {
    std::array<char, 4096> discarded{};
    const asio::mutable_buffer buffer = asio::buffer(discarded);
    for (;;) {
      auto [error, bytes] = co_await under_tls().async_read_some(buffer, kAwait);
      if (error) {
        co_return;
      }
    }
  }

  Stream stream_;
  std::string address_;
  std::optional<std::uint32_t> local_uid_;
  std::optional<identity::CertifiedClient> certified_;
  Shard& shard_;
  std::shared_ptr<const Config> config_;
  asio::steady_timer deadline_;
  asio::steady_timer read_ended_;
  beast::flat_buffer buffer_;
  std::function<void()> on_gone_;
  std::string request_id_;
  Headers added_headers_;  // of the answer to come
  std::uint64_t bytes_sent_ = 0;
  unsigned version_ = 11;
  bool keep_alive_ = true;
  bool chunked_ = false;
  bool reading_ = false;
  bool in_call_ = false;
  bool gone_ = false;
  bool head_ = false;    // the request is a HEAD: its answer has no body
  bool unread_ = false;  // the rest of a refused request may still be coming
};

// An IPv4 client on an IPv6 listener counts under its IPv4 address.
template <class Socket>
std::string peer_address(Socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) {
    return "unknown";
  }
  const asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

}  // namespace

asio::awaitable<void> serve_tls(TlsStream stream, [[maybe_unused]] ConnectionSlot slot,
                                Shard& shard) {
  const std::string address = peer_address(stream.next_layer());
  const auto connection =
      std::make_shared<Connection<TlsStream>>(std::move(stream), address, std::nullopt, shard);
  co_await connection->run();
}

asio::awaitable<void> serve_plain(asio::ip::tcp::socket socket,
                                  [[maybe_unused]] ConnectionSlot slot, Shard& shard) {
  const std::string address = peer_address(socket);
  const auto connection = std::make_shared<Connection<asio::ip::tcp::socket>>(
      std::move(socket), address, std::nullopt, shard);
  co_await connection->run();
}

asio::awaitable<void> serve_local(asio::local::stream_protocol::socket socket, std::uint32_t uid,
                                  Shard& shard) {
  const auto connection = std::make_shared<Connection<asio::local::stream_protocol::socket>>(
      std::move(socket), "local", uid, shard);
  co_await connection->run();
}

}  // namespace deepmoat::gateway
