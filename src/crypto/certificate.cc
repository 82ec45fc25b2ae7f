// Which certificates a data folder needs, and when they are made again. One thread, at start.
#include "crypto/certificate.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/file.h"
#include "base/hex.h"
#include "base/random.h"
#include "crypto/private_file.h"
#include "crypto/x509.h"

namespace deepmoat::crypto {

namespace {

constexpr UnixMillis kCaMs = 3652 * kDayMs;
constexpr UnixMillis kServerMs = 825 * kDayMs;  // the most that clients of Apple accept
constexpr UnixMillis kRenewMs = 30 * kDayMs;
constexpr UnixMillis kBackdateMs = 60LL * 60 * 1000;  // clients whose clock is behind
constexpr std::size_t kPemBytesMax = 64 * 1024;

struct Paths {
  explicit Paths(const std::filesystem::path& folder)
      : ca_certificate(folder / kCaCertificateFile),
        ca_key(folder / "ca.key"),
        server_certificate(folder / "server.crt"),
        server_key(folder / "server.key") {}
  std::filesystem::path ca_certificate;
  std::filesystem::path ca_key;
  std::filesystem::path server_certificate;
  std::filesystem::path server_key;
};

struct Authority {
  CertificatePtr certificate;
  PrivateKeyPtr key;  // null while nobody needed it, or kept elsewhere
};

std::vector<std::string> all_names(const std::vector<std::string>& configured) {
  std::vector<std::string> names{"localhost", "127.0.0.1", "::1"};
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0) {
    names.emplace_back(host.data());
  }
  names.insert(names.end(), configured.begin(), configured.end());
  std::erase(names, "");
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

// A file that is there and cannot be understood is an error with its name, not a reason to
// replace it.
Result<CertificatePtr> load_certificate(const std::filesystem::path& path) {
  TRY(const std::string pem, read_file(path, kPemBytesMax));
  Result<CertificatePtr> certificate = certificate_from_pem(pem);
  if (!certificate) {
    return fail(Code::corrupt, path.string() + ": " + certificate.error().message +
                                   "; remove it to have a new one made");
  }
  return certificate;
}

Result<PrivateKeyPtr> load_key(const std::filesystem::path& path) {
  TRY(const Secret pem, read_private_file(path, kPemBytesMax));
  Result<PrivateKeyPtr> key = key_from_pem(pem);
  if (!key) {
    return fail(Code::corrupt,
                path.string() + ": " + key.error().message + "; remove it to have a new one made");
  }
  return key;
}

Result<> save_key(const std::filesystem::path& path, const EVP_PKEY& key) {
  TRY(const Secret pem, to_pem(key));
  return write_file_atomic(path, pem.reveal(), 0600);
}

Result<Authority> make_authority(const Paths& paths, UnixMillis now_ms) {
  TRY(const std::string mark, random_bytes(4));  // two installations, two names
  Authority authority;
  TRY(authority.key, make_p256_key());
  TRY(authority.certificate, make_ca({.common_name = "Deepmoat local CA " + to_hex(mark),
                                      .starts_ms = now_ms - kBackdateMs,
                                      .ends_ms = now_ms + kCaMs,
                                      .names = {}},
                                     *authority.key));
  // The key first: after a crash between the two there is no certificate, and both are made anew.
  CHECK_OK(save_key(paths.ca_key, *authority.key));
  TRY(const std::string pem, to_pem(*authority.certificate));
  CHECK_OK(write_file_atomic(paths.ca_certificate, pem, 0644));
  return authority;
}

Result<Authority> ensure_authority(const Paths& paths, UnixMillis now_ms) {
  Result<CertificatePtr> certificate = load_certificate(paths.ca_certificate);
  if (certificate && ends_ms(**certificate) > now_ms + kRenewMs) {
    return Authority{.certificate = *std::move(certificate), .key = nullptr};
  }
  if (!certificate && certificate.error().code != Code::not_found) {
    return std::unexpected(std::move(certificate).error());
  }
  return make_authority(paths, now_ms);
}

// nullptr: there is none that still serves.
Result<CertificatePtr> load_good_server(const Paths& paths, const Authority& authority,
                                        const std::vector<std::string>& names, UnixMillis now_ms) {
  Result<CertificatePtr> loaded = load_certificate(paths.server_certificate);
  Result<PrivateKeyPtr> key = load_key(paths.server_key);
  if ((!loaded && loaded.error().code == Code::not_found) ||
      (!key && key.error().code == Code::not_found)) {
    return CertificatePtr();
  }
  TRY(CertificatePtr server, std::move(loaded));
  TRY(const PrivateKeyPtr server_key, std::move(key));
  const PrivateKeyPtr ca_public(X509_get_pubkey(authority.certificate.get()));
  const bool good =
      ends_ms(*server) > now_ms + kRenewMs &&
      X509_check_private_key(server.get(), server_key.get()) == 1 && ca_public &&
      X509_verify(server.get(), ca_public.get()) == 1 &&
      std::ranges::all_of(names, [&](const std::string& name) { return covers(*server, name); });
  return good ? std::move(server) : CertificatePtr();
}

Result<> load_authority_key(const Paths& paths, Authority& authority) {
  if (!authority.key) {
    Result<PrivateKeyPtr> ca_key = load_key(paths.ca_key);
    if (!ca_key && ca_key.error().code == Code::not_found) {
      return fail(
          Code::not_found,
          paths.ca_key.string() +
              " is needed to make a certificate: bring it "
              "back, or remove ca.crt to have a new CA made (clients then need the new one)");
    }
    TRY(authority.key, std::move(ca_key));
  }
  if (X509_check_private_key(authority.certificate.get(), authority.key.get()) != 1) {
    return fail(Code::corrupt, paths.ca_key.string() + " is not the key of ca.crt");
  }
  return {};
}

Result<CertificatePtr> make_server(const Paths& paths, Authority& authority,
                                   const std::vector<std::string>& names, UnixMillis now_ms) {
  CHECK_OK(load_authority_key(paths, authority));
  TRY(const PrivateKeyPtr key, make_p256_key());
  const UnixMillis end = std::min(now_ms + kServerMs, ends_ms(*authority.certificate));
  TRY(CertificatePtr server, make_leaf({.common_name = "Deepmoat server",
                                        .starts_ms = now_ms - kBackdateMs,
                                        .ends_ms = end,
                                        .names = names},
                                       *key, *authority.certificate, *authority.key));
  TRY(const std::string leaf_pem, to_pem(*server));
  TRY(const std::string ca_pem, to_pem(*authority.certificate));
  // A crash between the two leaves a pair that does not fit, which the next start makes anew.
  CHECK_OK(save_key(paths.server_key, *key));
  CHECK_OK(write_file_atomic(paths.server_certificate, leaf_pem + ca_pem, 0644));
  return server;
}

}  // namespace

Result<Certificates> ensure_certificates(const CertificateOptions& options, UnixMillis now_ms) {
  CHECK_OK(make_directory(options.directory, 0700));
  const Paths paths(options.directory);
  const std::vector<std::string> names = all_names(options.names);
  TRY(Authority authority, ensure_authority(paths, now_ms));
  TRY(CertificatePtr server, load_good_server(paths, authority, names, now_ms));
  const bool made_now = !server;
  if (made_now) {
    TRY(server, make_server(paths, authority, names, now_ms));
  }
  TRY(std::string print, fingerprint(*server));
  return Certificates{.ca_certificate = paths.ca_certificate,
                      .server_certificate = paths.server_certificate,
                      .server_key = paths.server_key,
                      .fingerprint = std::move(print),
                      .ends_ms = ends_ms(*server),
                      .made_now = made_now};
}

Result<ClientCertificate> issue_client_certificate(const std::filesystem::path& directory,
                                                   const std::string& common_name,
                                                   const std::string& uri, UnixMillis now_ms,
                                                   UnixMillis ends_ms) {
  CHECK_OK(make_directory(directory, 0700));
  const Paths paths(directory);
  TRY(Authority authority, ensure_authority(paths, now_ms));
  CHECK_OK(load_authority_key(paths, authority));
  TRY(const PrivateKeyPtr key, make_p256_key());
  const UnixMillis end = std::min(ends_ms, crypto::ends_ms(*authority.certificate));
  TRY(const CertificatePtr leaf,
      make_client_leaf({.common_name = common_name,
                        .starts_ms = now_ms - kBackdateMs,
                        .ends_ms = end,
                        .names = {}},
                       uri, *key, *authority.certificate, *authority.key));
  ClientCertificate made;
  TRY(const std::string leaf_pem, to_pem(*leaf));
  TRY(const std::string ca_pem, to_pem(*authority.certificate));
  made.certificate = leaf_pem + ca_pem;
  TRY(made.private_key, to_pem(*key));
  TRY(made.fingerprint, fingerprint(*leaf));
  made.ends_ms = end;
  return made;
}

Result<std::string> certificate_fingerprint(const std::filesystem::path& path) {
  TRY(const CertificatePtr certificate, load_certificate(path));
  return fingerprint(*certificate);
}

}  // namespace deepmoat::crypto
