// X.509 certificates and EC P-256 keys as values, over OpenSSL. No file, no policy; one thread.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using CertificatePtr = std::unique_ptr<X509, FreeX509>;
using PrivateKeyPtr = std::unique_ptr<EVP_PKEY, FreeX509>;

struct CertificateRequest {
  std::string common_name;
  UnixMillis starts_ms = 0;
  UnixMillis ends_ms = 0;
  std::vector<std::string> names;  // DNS names and IP addresses; empty for a CA
};

[[nodiscard]] Result<PrivateKeyPtr> make_p256_key();

// Self-signed; may sign leaves and no further CA.
[[nodiscard]] Result<CertificatePtr> make_ca(const CertificateRequest& request, EVP_PKEY& key);
// For a TLS server with `names`, signed by the CA. Code::invalid_argument names a bad name.
[[nodiscard]] Result<CertificatePtr> make_leaf(const CertificateRequest& request, EVP_PKEY& key,
                                               X509& ca, EVP_PKEY& ca_key);

// For a TLS client that is known by `uri`, signed by the CA. Code::invalid_argument for a URI of
// other characters than a-z 0-9 : / -.
[[nodiscard]] Result<CertificatePtr> make_client_leaf(const CertificateRequest& request,
                                                      const std::string& uri, EVP_PKEY& key,
                                                      X509& ca, EVP_PKEY& ca_key);
// The URI by which a certificate knows its client; empty unless it has exactly one URI.
[[nodiscard]] std::string client_uri(const X509& certificate);

[[nodiscard]] bool covers(X509& certificate, const std::string& name);
[[nodiscard]] UnixMillis ends_ms(const X509& certificate);
[[nodiscard]] Result<std::string> fingerprint(const X509& certificate);  // "AB:CD:..."

[[nodiscard]] Result<std::string> to_pem(const X509& certificate);
[[nodiscard]] Result<Secret> to_pem(const EVP_PKEY& key);
// The first certificate, or the key, of a PEM text. Code::corrupt for anything else.
[[nodiscard]] Result<CertificatePtr> certificate_from_pem(std::string_view pem);
[[nodiscard]] Result<PrivateKeyPtr> key_from_pem(const Secret& pem);

}  // namespace deepmoat::crypto
