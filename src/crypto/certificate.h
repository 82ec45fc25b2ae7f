// The local certificate authority and the server's certificate of a data folder, so that a first
// start can serve TLS. A site with its own authority configures its own files instead.
// Used at start and once a day, from one thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace deepmoat::crypto {

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

// SHA-256 over the DER of the first certificate in a PEM file, as "AB:CD:...".
[[nodiscard]] Result<std::string> certificate_fingerprint(const std::filesystem::path& path);

}  // namespace deepmoat::crypto
