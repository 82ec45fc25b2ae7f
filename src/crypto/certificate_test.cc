// The local CA and the server certificate: what they hold, and when they are made again.
#include "crypto/certificate.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "crypto/x509.h"

namespace deepmoat::crypto {
namespace {

constexpr UnixMillis kNow = 1'795'000'000'000;

class CertificateTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/deepmoat_tls_XXXXXX";
    folder_ = ::mkdtemp(name);
    options_.directory = folder_ / "tls";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] CertificatePtr load(const std::string& name) const {
    auto certificate = certificate_from_pem(*read_file(options_.directory / name, 65536));
    EXPECT_TRUE(certificate);
    return certificate ? *std::move(certificate) : nullptr;
  }
  Certificates ensure(UnixMillis now_ms) {
    auto made = ensure_certificates(options_, now_ms);
    EXPECT_TRUE(made) << made.error().message;
    return made ? *std::move(made) : Certificates{};
  }

  std::filesystem::path folder_;
  CertificateOptions options_;
};

// The check that a TLS client makes, with the CA as its only anchor.
bool client_accepts(X509& leaf, X509& ca, UnixMillis at_ms) {
  X509_STORE* const store = X509_STORE_new();
  X509_STORE_add_cert(store, &ca);
  X509_STORE_CTX* const context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, &leaf, nullptr);
  X509_STORE_CTX_set_time(context, 0, static_cast<time_t>(at_ms / 1000));
  X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
  const bool accepted = X509_verify_cert(context) == 1;
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return accepted;
}

TEST_F(CertificateTest, ServesThisHostAndTheConfiguredNames) {
  options_.names = {"ai.example.internal", "10.1.2.3", "fd00::7"};
  const Certificates made = ensure(kNow);
  EXPECT_TRUE(made.made_now);
  const CertificatePtr server = load("server.crt");
  const CertificatePtr ca = load("ca.crt");
  for (const char* name :
       {"localhost", "127.0.0.1", "::1", "ai.example.internal", "10.1.2.3", "fd00:0:0:0:0:0:0:7"}) {
    EXPECT_TRUE(covers(*server, name)) << name;
  }
  EXPECT_FALSE(covers(*server, "example.com"));
  EXPECT_FALSE(covers(*server, "10.1.2.4"));
  EXPECT_EQ(made.ends_ms, kNow + 825 * kDayMs);
  EXPECT_EQ(X509_check_ca(server.get()), 0);
  EXPECT_EQ(X509_check_ca(ca.get()), 1);
  EXPECT_TRUE(client_accepts(*server, *ca, kNow));
  EXPECT_TRUE(client_accepts(*server, *ca, kNow + 800 * kDayMs));
  EXPECT_FALSE(client_accepts(*server, *ca, kNow + 826 * kDayMs));
}

TEST_F(CertificateTest, KeepsKeysToTheirOwner) {
  const Certificates made = ensure(kNow);
  for (const auto& file : {options_.directory / "ca.key", made.server_key}) {
    struct stat status{};
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << file;
  }
  ASSERT_EQ(::chmod(made.server_key.c_str(), 0644), 0);
  const auto refused = ensure_certificates(options_, kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::permission_denied);
}

TEST_F(CertificateTest, IsStableUntilThirtyDaysBeforeItsEnd) {
  const Certificates made = ensure(kNow);
  const Certificates later = ensure(kNow + 794 * kDayMs);
  EXPECT_FALSE(later.made_now);
  EXPECT_EQ(later.fingerprint, made.fingerprint);
  const std::string ca = *certificate_fingerprint(made.ca_certificate);
  const Certificates renewed = ensure(kNow + 796 * kDayMs);
  EXPECT_TRUE(renewed.made_now);
  EXPECT_NE(renewed.fingerprint, made.fingerprint);
  EXPECT_EQ(*certificate_fingerprint(made.ca_certificate), ca) << "clients keep trusting us";
}

TEST_F(CertificateTest, NeverOutlivesItsCa) {
  ensure(kNow);
  const UnixMillis late = kNow + 3000 * kDayMs;
  const Certificates renewed = ensure(late);
  const CertificatePtr ca = load("ca.crt");
  EXPECT_EQ(renewed.ends_ms, ends_ms(*ca));
  const Certificates anew = ensure(kNow + 3630 * kDayMs);
  EXPECT_TRUE(anew.made_now);
  EXPECT_TRUE(client_accepts(*load("server.crt"), *load("ca.crt"), kNow + 3700 * kDayMs));
}

TEST_F(CertificateTest, IsMadeAgainForANewName) {
  ensure(kNow);
  options_.names = {"new.example.internal"};
  EXPECT_TRUE(ensure(kNow).made_now);
  EXPECT_FALSE(ensure(kNow).made_now);
}

TEST_F(CertificateTest, MendsAHalfWrittenPair) {
  const Certificates made = ensure(kNow);
  ASSERT_TRUE(std::filesystem::remove(made.server_key));
  EXPECT_TRUE(ensure(kNow).made_now);
  // As after a crash between key and certificate: the key of another certificate.
  const std::string ca_key = *read_file(options_.directory / "ca.key", 65536);
  ASSERT_TRUE(write_file_atomic(made.server_key, ca_key, 0600));
  EXPECT_TRUE(ensure(kNow).made_now);
  EXPECT_FALSE(ensure(kNow).made_now);
}

TEST_F(CertificateTest, NeedsTheCasKeyOnlyToSign) {
  ensure(kNow);
  ASSERT_TRUE(std::filesystem::remove(options_.directory / "ca.key"));
  EXPECT_FALSE(ensure(kNow).made_now);
  const auto refused = ensure_certificates(options_, kNow + 800 * kDayMs);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::not_found);
  EXPECT_NE(refused.error().message.find("ca.key"), std::string::npos);
}

TEST_F(CertificateTest, RefusesNamesThatAreNone) {
  for (const char* name : {"a,DNS:evil.example", "two words", "line\nbreak", "email:x@y", "ü"}) {
    options_.names = {name};
    const auto refused = ensure_certificates(options_, kNow);
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
  }
}

TEST_F(CertificateTest, NamesTheFileThatIsDamaged) {
  const Certificates made = ensure(kNow);
  ASSERT_TRUE(write_file_atomic(made.server_certificate, "junk", 0644));
  const auto refused = ensure_certificates(options_, kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::corrupt);
  EXPECT_NE(refused.error().message.find("server.crt"), std::string::npos);
}

TEST_F(CertificateTest, IssuesForClientsWhatIsNoServersCertificate) {
  const auto issued = issue_client_certificate(options_.directory, "shop",
                                               "deepmoat:client:hr/shop", kNow, kNow + 9 * kDayMs);
  ASSERT_TRUE(issued) << issued.error().message;
  EXPECT_EQ(issued->ends_ms, kNow + 9 * kDayMs);
  const auto leaf = certificate_from_pem(issued->certificate);
  ASSERT_TRUE(leaf);
  EXPECT_EQ(client_uri(**leaf), "deepmoat:client:hr/shop");
  EXPECT_EQ(*fingerprint(**leaf), issued->fingerprint);
  EXPECT_EQ(X509_check_purpose(leaf->get(), X509_PURPOSE_SSL_CLIENT, 0), 1);
  EXPECT_EQ(X509_check_purpose(leaf->get(), X509_PURPOSE_SSL_SERVER, 0), 0);
  const auto key = key_from_pem(issued->private_key);
  ASSERT_TRUE(key);
  EXPECT_EQ(X509_check_private_key(leaf->get(), key->get()), 1);
  const CertificatePtr ca = load("ca.crt");
  const PrivateKeyPtr ca_public(X509_get_pubkey(ca.get()));
  EXPECT_EQ(X509_verify(leaf->get(), ca_public.get()), 1);

  ensure(kNow);
  EXPECT_EQ(X509_check_purpose(load("server.crt").get(), X509_PURPOSE_SSL_CLIENT, 0), 0);
  EXPECT_EQ(client_uri(*load("server.crt")), "");
  for (const char* bad : {"", "a,DNS:evil.example", "two words", "UPPER", "line\nbreak"}) {
    EXPECT_EQ(
        issue_client_certificate(options_.directory, "x", bad, kNow, kNow + kDayMs).error().code,
        Code::invalid_argument)
        << bad;
  }
}

}  // namespace
}  // namespace deepmoat::crypto
