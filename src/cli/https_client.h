// One request to another Deepmoat server, over verified TLS.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::cli {

struct HttpsServer {
  std::string host;  // without the brackets of an IPv6 address
  std::string port;
  std::string host_header;
  std::string ca_file;  // authorities that it is checked against; empty: the system's
};

// "https://other.example:8443", with nothing behind the port. Code::invalid_argument.
[[nodiscard]] Result<HttpsServer> parse_server(const std::string& url, std::string ca_file);

struct HttpsAnswer {
  int status = 0;
  std::string body;
  std::optional<std::int64_t> key_expires_in_s;  // as it says in a key's last 14 days
};

// Blocks, `patience` at most from the name's resolution to the answer's last byte.
// Code::unavailable says which step failed. TLS 1.2 at least; the certificate must be for the host.
// No redirect is followed; an answer of more than 128 KiB is an error.
[[nodiscard]] Result<HttpsAnswer> ask_https(const HttpsServer& server, const std::string& method,
                                            const std::string& target, const std::string& body,
                                            const Secret& key, std::chrono::seconds patience);

}  // namespace deepmoat::cli
