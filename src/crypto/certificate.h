// The local certificate authority and the server's certificate of a data folder, so that a first
// start can serve TLS. A site with its own authority configures its own files instead.
// Used at start and once a day, from one thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

inline constexpr const char* kCaCertificateFile = "ca.crt";  // in the folder

struct CertificateOptions {
  std::filesystem::path directory;  // `<data>/tls`
  std::vector<std::string> names;   // further DNS names or IP addresses of the server
};

struct Certificates {
  std::filesystem::path ca_certificate;      // give this one to clients
  std::filesystem::path server_certificate;  // leaf first, then the CA
  std::filesystem::path server_key;
  std::string fingerprint;  // SHA-256 of the leaf, "AB:CD:..."
  UnixMillis ends_ms = 0;
  bool made_now = false;  // a new server certificate was written
};

// Makes what is missing: a CA (EC P-256, 10 years) in ca.crt and ca.key, a server certificate
// (825 days; localhost, 127.0.0.1, ::1, this host's name and `names`) in server.crt and
// server.key; keys with mode 0600. The server certificate is made again when it ends within 30
// days, lacks one of the names or does not come from this CA; the CA when it ends within 30 days.
// A certificate never outlives its CA. ca.key may be taken away and kept elsewhere: it is needed
// only to make a certificate.
[[nodiscard]] Result<Certificates> ensure_certificates(const CertificateOptions& options,
                                                       UnixMillis now_ms);

// A certificate and its private key for a client of the server, both in PEM.
struct ClientCertificate {
  std::string certificate;  // leaf first, then the CA
  Secret private_key;
  std::string fingerprint;  // SHA-256 of the leaf, "AB:CD:..."
  UnixMillis ends_ms = 0;
};

// Signs one with the CA of ensure_certificates(), which is made when there is none. `uri`: by which
// the server will know the client. It ends at `ends_ms`, or with its CA.
[[nodiscard]] Result<ClientCertificate> issue_client_certificate(
    const std::filesystem::path& directory, const std::string& common_name, const std::string& uri,
    UnixMillis now_ms, UnixMillis ends_ms);

// SHA-256 over the DER of the first certificate in a PEM file, as "AB:CD:...".
[[nodiscard]] Result<std::string> certificate_fingerprint(const std::filesystem::path& path);

}  // namespace deepmoat::crypto
