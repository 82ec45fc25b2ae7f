#include "gateway/server.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <mutex>
#include <thread>

#include "base/local_socket_path.h"
#include "base/log.h"
#include "gateway/connection.h"

namespace deepmoat::gateway {

namespace {

using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// The context of new connections; swapped by a reload.
class LiveTls {
 public:
  [[nodiscard]] std::shared_ptr<asio::ssl::context> get() const {
    const std::lock_guard lock(mutex_);
    return context_;
  }
  void replace(std::shared_ptr<asio::ssl::context> context) {
    const std::lock_guard lock(mutex_);
    context_ = std::move(context);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<asio::ssl::context> context_;
};

// A client may show a certificate of this CA; one that shows another's, or a server's, is cut off.
Result<> ask_for_client_certificates(SSL_CTX* context, const std::filesystem::path& ca) {
  constexpr std::string_view kSessions = "deepmoat";
  STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(ca.c_str());
  if (names == nullptr || SSL_CTX_load_verify_locations(context, ca.c_str(), nullptr) != 1) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return fail(Code::invalid_argument,
                "the CA of client certificates " + ca.string() + " does not load");
  }
  SSL_CTX_set_client_CA_list(context, names);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  // Without it a client that resumes a session is refused once certificates are asked for.
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(kSessions.data()),
                                 static_cast<unsigned>(kSessions.size()));
  return {};
}

Result<std::shared_ptr<asio::ssl::context>> make_tls(const std::filesystem::path& certificate,
                                                     const std::filesystem::path& private_key,
                                                     const std::filesystem::path& client_ca) {
  auto context = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_3_VERSION);
  // Idle connections give their 32 KB of record buffers back; no early data, so nothing replays.
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_early_data(context->native_handle(), 0);
  boost::system::error_code error;
  context->use_certificate_chain_file(certificate.string(), error);
  if (error) {
    return fail(Code::invalid_argument, fmt::format("tls.certificate {} does not load: {}",
                                                    certificate.string(), error.message()));
  }
  context->use_private_key_file(private_key.string(), asio::ssl::context::pem, error);
  if (error) {
    return fail(
        Code::invalid_argument,
        fmt::format("tls.private_key {} does not load or does not belong to the certificate: {}",
                    private_key.string(), error.message()));
  }
  if (!client_ca.empty()) {
    CHECK_OK(ask_for_client_certificates(context->native_handle(), client_ca));
  }
  return context;
}

Result<Tcp::endpoint> parse_endpoint(const char* key, const std::string& address,
                                     std::int64_t port) {
  boost::system::error_code error;
  const asio::ip::address parsed =
      asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, error);
  if (error) {
    return fail(Code::invalid_argument,
                fmt::format("{} \"{}\" is not an IP address", key, address));
  }
  return Tcp::endpoint(parsed, static_cast<std::uint16_t>(port));
}

Result<Tcp::acceptor> listen_on(asio::io_context& context, const Tcp::endpoint& endpoint) {
  Tcp::acceptor acceptor(context);
  boost::system::error_code error;
  const auto step = [&](const auto& action) {
    if (!error) {
      action();
    }
  };
  step([&] { acceptor.open(endpoint.protocol(), error); });
  step([&] { acceptor.set_option(asio::socket_base::reuse_address(true), error); });
  step([&] { acceptor.set_option(ReusePort(true), error); });
  step([&] { acceptor.bind(endpoint, error); });
  step([&] { acceptor.listen(1024, error); });
  if (error) {
    return fail(Code::unavailable,
                fmt::format("cannot listen on {}:{}: {}", endpoint.address().to_string(),
                            endpoint.port(), error.message()));
  }
  return acceptor;
}

// SO_REUSEPORT lets several of our threads listen on one port; another server on it must still be
// an error, so one exclusive bind is tried first.
Result<> check_port_is_free(const Tcp::endpoint& endpoint) {
  asio::io_context context;
  Tcp::acceptor probe(context);
  boost::system::error_code error;
  probe.open(endpoint.protocol(), error);
  probe.set_option(asio::socket_base::reuse_address(true), error);
  probe.bind(endpoint, error);
  if (error) {
    return fail(Code::unavailable,
                fmt::format("cannot listen on {}:{}: {}; another server may be using the port",
                            endpoint.address().to_string(), endpoint.port(), error.message()));
  }
  return {};
}

Result<Local::acceptor> listen_locally(asio::io_context& context,
                                       const std::filesystem::path& path) {
  TRY(const LocalSocketPath address, LocalSocketPath::enter(path));
  ::unlink(address.text().c_str());
  Local::acceptor acceptor(context);
  boost::system::error_code error;
  acceptor.open(Local(), error);
  const mode_t before = ::umask(0177);
  acceptor.bind(address.text(), error);
  ::umask(before);
  if (!error) {
    acceptor.listen(64, error);
  }
  if (error) {
    return fail(Code::unavailable,
                fmt::format("cannot listen on {}: {}", path.string(), error.message()));
  }
  return acceptor;
}

std::optional<std::uint32_t> peer_uid(Local::socket& socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return std::nullopt;
  }
  return credentials.uid;
}

// One thread with its listeners and connections.
struct Worker {
  explicit Worker(Services& services) : shard{services, {}, {}} {}

  Shard shard;  // goes last: connections that end with the context still leave it
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(context);
  std::optional<Tcp::acceptor> tls_acceptor;
  std::optional<Tcp::acceptor> plain_acceptor;
  std::optional<Local::acceptor> local_acceptor;
  std::thread thread;
};

// Too many open files and the like: the listener waits a moment rather than spin.
asio::awaitable<void> pause_briefly() {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor);
  timer.expires_after(std::chrono::milliseconds(50));
  co_await timer.async_wait(kAwait);
}

// A coroutine's exception would end the process; it ends its connection instead.
void log_failure(const std::exception_ptr& failure) {
  if (!failure) {
    return;
  }
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    log::error("a connection ended with an exception", {{"error", error.what()}});
  } catch (...) {
    log::error("a connection ended with an unknown exception");
  }
}

}  // namespace

class Server::Impl {
 public:
  Impl(Services& services) : services_(services) {}

  ~Impl() { stop(); }

  void stop() {
    for (const auto& worker : workers_) {
      worker->context.stop();
    }
    for (const auto& worker : workers_) {
      if (worker->thread.joinable()) {
        worker->thread.join();
      }
    }
  }

  Result<> start(const ServerOptions& options) {
    CHECK_OK(reload(options));
    const Config& config = *services_.config.get();
    TRY(const Tcp::endpoint https,
        parse_endpoint("server.https_address", config.server.https_address,
                       config.server.https_port));
    TRY(const Tcp::endpoint plain,
        parse_endpoint("server.http_address", config.server.http_address, config.server.http_port));
    CHECK_OK(check_port_is_free(https));
    const bool with_plain = config.server.http_port != 0;
    if (with_plain) {
      CHECK_OK(check_port_is_free(plain));
    }
    const std::size_t threads = config.server.threads > 0
                                    ? static_cast<std::size_t>(config.server.threads)
                                    : std::max(1U, std::thread::hardware_concurrency());
    for (std::size_t i = 0; i < threads; ++i) {
      Worker& worker = *workers_.emplace_back(std::make_unique<Worker>(services_));
      TRY(worker.tls_acceptor, listen_on(worker.context, https));
      if (with_plain) {
        TRY(worker.plain_acceptor, listen_on(worker.context, plain));
      }
    }
    if (!options.local_socket.empty()) {
      TRY(workers_.front()->local_acceptor,
          listen_locally(workers_.front()->context, options.local_socket));
    }
    for (const auto& worker : workers_) {
      run(*worker);
    }
    return {};
  }

  Result<> reload(const ServerOptions& options) {
    TRY(auto context, make_tls(options.certificate, options.private_key, options.client_ca));
    tls_.replace(std::move(context));
    return {};
  }

  std::size_t drain(std::int64_t timeout_s) {
    services_.draining = true;
    on_every_thread([](Worker& worker) {
      boost::system::error_code ignored;
      for (auto* acceptor : {&worker.tls_acceptor, &worker.plain_acceptor}) {
        if (*acceptor) {
          (*acceptor)->close(ignored);
        }
      }
      if (worker.local_acceptor) {
        worker.local_acceptor->close(ignored);
      }
      close_idle(worker.shard);
    });
    const MonoNanos end = services_.clock.mono_ns() + timeout_s * 1'000'000'000;
    while (count_open() > 0 && services_.clock.mono_ns() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      on_every_thread([](Worker& worker) { close_idle(worker.shard); });
    }
    return count_open();
  }

  std::uint64_t open_connections() const { return limiter_.open(); }

 private:
  static void close_idle(Shard& shard) {
    for (OpenConnection* connection : shard.open) {
      connection->close_if_idle();
    }
  }

  template <class Action>
  void on_every_thread(Action action) {
    for (const auto& worker : workers_) {
      asio::post(worker->context, [&worker = *worker, action] { action(worker); });
    }
  }

  std::size_t count_open() {
    std::atomic<std::size_t> open = 0;
    std::atomic<std::size_t> answered = 0;
    on_every_thread([&](Worker& worker) {
      open += worker.shard.open.size();
      ++answered;
    });
    while (answered < workers_.size()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return open;
  }

  void run(Worker& worker) {
    asio::co_spawn(worker.context, accept_tls(worker), log_failure);
    if (worker.plain_acceptor) {
      asio::co_spawn(worker.context, accept_plain(worker), log_failure);
    }
    if (worker.local_acceptor) {
      asio::co_spawn(worker.context, accept_local(worker), log_failure);
    }
    worker.thread = std::thread([&worker] { worker.context.run(); });
  }

  ConnectionSlot take_slot(const Tcp::socket& socket) {
    boost::system::error_code error;
    const auto endpoint = socket.remote_endpoint(error);
    const auto config = services_.config.get();
    return limiter_.take(error ? "unknown" : endpoint.address().to_string(),
                         static_cast<std::uint64_t>(config->server.connections_max),
                         static_cast<std::uint64_t>(config->server.connections_per_address_max));
  }

  asio::awaitable<void> accept_tls(Worker& worker) {
    while (worker.tls_acceptor->is_open()) {
      auto [error, socket] = co_await worker.tls_acceptor->async_accept(kAwait);
      if (error) {
        co_await pause_briefly();
        continue;
      }
      ConnectionSlot slot = take_slot(socket);
      if (!slot.held()) {
        continue;
      }
      set_no_delay(socket);
      const auto context = tls_.get();
      TlsStream stream(std::move(socket), *context);
      asio::co_spawn(worker.context, serve_tls(std::move(stream), std::move(slot), worker.shard),
                     log_failure);
    }
  }

  asio::awaitable<void> accept_plain(Worker& worker) {
    while (worker.plain_acceptor->is_open()) {
      auto [error, socket] = co_await worker.plain_acceptor->async_accept(kAwait);
      if (error) {
        co_await pause_briefly();
        continue;
      }
      ConnectionSlot slot = take_slot(socket);
      if (!slot.held()) {
        continue;
      }
      set_no_delay(socket);
      asio::co_spawn(worker.context, serve_plain(std::move(socket), std::move(slot), worker.shard),
                     log_failure);
    }
  }

  asio::awaitable<void> accept_local(Worker& worker) {
    while (worker.local_acceptor->is_open()) {
      auto [error, socket] = co_await worker.local_acceptor->async_accept(kAwait);
      if (error) {
        co_await pause_briefly();
        continue;
      }
      // The socket's mode admits its owner only; root may open anything and owns the machine.
      const auto uid = peer_uid(socket);
      if (uid && (*uid == ::geteuid() || *uid == 0)) {
        asio::co_spawn(worker.context, serve_local(std::move(socket), *uid, worker.shard),
                       log_failure);
      }
    }
  }

  // Without it a stream's small pieces wait for the client's acknowledgements.
  static void set_no_delay(Tcp::socket& socket) {
    boost::system::error_code ignored;
    socket.set_option(Tcp::no_delay(true), ignored);
  }

  Services& services_;
  LiveTls tls_;
  ConnectionLimiter limiter_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::start(Services& services, ServerOptions options) {
  auto impl = std::make_unique<Impl>(services);
  services.open_connections = [&impl = *impl] { return impl.open_connections(); };
  CHECK_OK(impl->start(options));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Result<> Server::reload_certificate(const ServerOptions& options) {
  return impl_->reload(options);
}
std::size_t Server::drain(std::int64_t timeout_s) {
  return impl_->drain(timeout_s);
}
void Server::stop() {
  impl_->stop();
}
std::uint64_t Server::open_connections() const {
  return impl_->open_connections();
}

Result<> check_certificate(const std::filesystem::path& certificate,
                           const std::filesystem::path& private_key) {
  CHECK_OK(make_tls(certificate, private_key, {}));
  return {};
}

}  // namespace deepmoat::gateway
