// The listeners and their threads: one io_context a thread, each with its own SO_REUSEPORT
// acceptors, so that a connection lives on one thread from its first byte to its last.
#pragma once

#include <filesystem>
#include <memory>

#include "base/result.h"
#include "gateway/services.h"

namespace deepmoat::gateway {

struct ServerOptions {
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path client_ca = {};  // signs clients' certificates; empty: none are asked for
  std::filesystem::path local_socket;    // empty: none
};

class Server {
 public:
  // Binds everything and begins to accept; an error names the address that cannot be had.
  static Result<std::unique_ptr<Server>> start(Services& services, ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // New connections get this certificate; open ones keep theirs.
  Result<> reload_certificate(const ServerOptions& options);

  // Stops accepting, closes idle connections, and waits until the others have ended or
  // `timeout_s` has passed. Returns how many were cut.
  std::size_t drain(std::int64_t timeout_s);

  // Ends the threads, wherever their connections are.
  void stop();

  [[nodiscard]] std::uint64_t open_connections() const;

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// TLS 1.3 only (RFC 8446); Code::invalid_argument names the file that does not load.
[[nodiscard]] Result<> check_certificate(const std::filesystem::path& certificate,
                                         const std::filesystem::path& private_key);

}  // namespace deepmoat::gateway
