// X.509 over OpenSSL. One thread.
#include "crypto/x509.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <span>

#include "base/random.h"

namespace deepmoat::crypto {

namespace {

constexpr long kVersion3 = 2;  // X.509 counts from 0
constexpr std::size_t kSerialBytes = 16;
constexpr std::size_t kNameBytesMax = 253;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPtr = std::unique_ptr<BIO, FreeBio>;

std::unexpected<Error> refused(std::string_view what) {
  return fail(Code::internal, "certificate: OpenSSL could not " + std::string(what));
}

std::string_view contents(BIO& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(&bio, &data);
  return {data, static_cast<std::size_t>(std::max(size, 0L))};
}

bool is_ip_address(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> address;
  return inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

// A strict alphabet also keeps a name from adding further entries to OpenSSL's extension text.
Result<std::string> alternative_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    const bool ip = is_ip_address(name);
    const bool dns =
        !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '.' || c == '*' || c == '_';
        });
    if (!ip && !dns) {
      return fail(Code::invalid_argument,
                  "certificate name \"" + name + "\" is neither a DNS name nor an IP address");
    }
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", ip ? "IP" : "DNS", name);
  }
  return text;
}

bool add_extension(X509& certificate, X509V3_CTX& context, int id, const std::string& value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  if (extension == nullptr) {
    return false;
  }
  const bool added = X509_add_ext(&certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool set_time(ASN1_TIME* field, UnixMillis at_ms) {
  return ASN1_TIME_set(field, static_cast<time_t>(at_ms / 1000)) != nullptr;
}

bool set_serial(X509& certificate, std::string random) {
  random.front() = static_cast<char>((random.front() & 0x7f) | 0x40);  // positive, full length
  BIGNUM* const number = BN_bin2bn(reinterpret_cast<const unsigned char*>(random.data()),
                                   static_cast<int>(random.size()), nullptr);
  const bool set = number != nullptr &&
                   BN_to_ASN1_INTEGER(number, X509_get_serialNumber(&certificate)) != nullptr;
  BN_free(number);
  return set;
}

// Everything but issuer, extensions and signature.
Result<CertificatePtr> begin(const CertificateRequest& request, EVP_PKEY& key) {
  TRY(std::string serial, random_bytes(kSerialBytes));
  CertificatePtr certificate(X509_new());
  if (!certificate || X509_set_version(certificate.get(), kVersion3) != 1 ||
      !set_serial(*certificate, std::move(serial)) ||
      !set_time(X509_getm_notBefore(certificate.get()), request.starts_ms) ||
      !set_time(X509_getm_notAfter(certificate.get()), request.ends_ms) ||
      X509_set_pubkey(certificate.get(), &key) != 1) {
    return refused("fill in a certificate");
  }
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  const auto add = [&](const char* field, std::string_view value) {
    return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
  };
  if (!add("O", "Deepmoat") || !add("CN", request.common_name)) {
    return refused("name the certificate's subject");
  }
  return certificate;
}

}  // namespace

Result<PrivateKeyPtr> make_p256_key() {
  PrivateKeyPtr key(EVP_EC_gen("P-256"));
  if (!key) {
    return refused("make an EC P-256 key");
  }
  return key;
}

Result<CertificatePtr> make_ca(const CertificateRequest& request, EVP_PKEY& key) {
  TRY(CertificatePtr ca, begin(request, key));
  X509V3_CTX context;
  X509V3_set_ctx(&context, ca.get(), ca.get(), nullptr, nullptr, 0);
  if (X509_set_issuer_name(ca.get(), X509_get_subject_name(ca.get())) != 1 ||
      !add_extension(*ca, context, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(*ca, context, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(*ca, context, NID_subject_key_identifier, "hash") ||
      X509_sign(ca.get(), &key, EVP_sha256()) == 0) {
    return refused("sign the CA");
  }
  return ca;
}

namespace {

// `usage`: "serverAuth" or "clientAuth"; `names`: in OpenSSL's text form.
Result<CertificatePtr> sign_leaf(const CertificateRequest& request, const std::string& usage,
                                 const std::string& names, EVP_PKEY& key, X509& ca,
                                 EVP_PKEY& ca_key) {
  TRY(CertificatePtr leaf, begin(request, key));
  X509V3_CTX context;
  X509V3_set_ctx(&context, &ca, leaf.get(), nullptr, nullptr, 0);
  if (X509_set_issuer_name(leaf.get(), X509_get_subject_name(&ca)) != 1 ||
      !add_extension(*leaf, context, NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(*leaf, context, NID_key_usage, "critical,digitalSignature") ||
      !add_extension(*leaf, context, NID_ext_key_usage, usage) ||
      !add_extension(*leaf, context, NID_subject_alt_name, names) ||
      !add_extension(*leaf, context, NID_subject_key_identifier, "hash") ||
      !add_extension(*leaf, context, NID_authority_key_identifier, "keyid:always") ||
      X509_sign(leaf.get(), &ca_key, EVP_sha256()) == 0) {
    return refused("sign the certificate");
  }
  return leaf;
}

}  // namespace

Result<CertificatePtr> make_leaf(const CertificateRequest& request, EVP_PKEY& key, X509& ca,
                                 EVP_PKEY& ca_key) {
  TRY(const std::string names, alternative_names(request.names));
  return sign_leaf(request, "serverAuth", names, key, ca, ca_key);
}

Result<CertificatePtr> make_client_leaf(const CertificateRequest& request, const std::string& uri,
                                        EVP_PKEY& key, X509& ca, EVP_PKEY& ca_key) {
  // A strict alphabet, for the reason that alternative_names() has.
  const bool good =
      !uri.empty() && uri.size() <= kNameBytesMax && std::ranges::all_of(uri, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ':' || c == '/' || c == '-';
      });
  if (!good) {
    return fail(Code::invalid_argument, "certificate: \"" + uri + "\" is no name of a client");
  }
  return sign_leaf(request, "clientAuth", "URI:" + uri, key, ca, ca_key);
}

std::string client_uri(const X509& certificate) {
  auto* const names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string uri;
  int uris = 0;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_URI) {
      ++uris;
      const ASN1_IA5STRING* const text = name->d.uniformResourceIdentifier;
      uri.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                 static_cast<std::size_t>(ASN1_STRING_length(text)));
    }
  }
  GENERAL_NAMES_free(names);
  return uris == 1 ? uri : std::string();
}

bool covers(X509& certificate, const std::string& name) {
  if (is_ip_address(name)) {
    return X509_check_ip_asc(&certificate, name.c_str(), 0) == 1;
  }
  return X509_check_host(&certificate, name.c_str(), name.size(), 0, nullptr) == 1;
}

UnixMillis ends_ms(const X509& certificate) {
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &end) != 1) {
    return 0;  // unreadable counts as ended
  }
  return static_cast<UnixMillis>(timegm(&end)) * 1000;
}

Result<std::string> fingerprint(const X509& certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (X509_digest(&certificate, EVP_sha256(), digest.data(), &size) != 1) {
    return refused("hash a certificate");
  }
  return fmt::format("{:02X}", fmt::join(std::span(digest).first(size), ":"));
}

Result<std::string> to_pem(const X509& certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), &certificate) != 1) {
    return refused("write a certificate as PEM");
  }
  return std::string(contents(*bio));
}

Result<Secret> to_pem(const EVP_PKEY& key) {
  const BioPtr bio(BIO_new(BIO_s_secmem()));  // wiped when freed
  if (!bio ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return refused("write a private key as PEM");
  }
  return Secret::copy_of(contents(*bio));
}

Result<CertificatePtr> certificate_from_pem(std::string_view pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CertificatePtr certificate(bio ? PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)
                                 : nullptr);
  if (!certificate) {
    return fail(Code::corrupt, "no certificate in PEM form");
  }
  return certificate;
}

Result<PrivateKeyPtr> key_from_pem(const Secret& pem) {
  const std::string_view text = pem.reveal();
  const BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  // An empty passphrase instead of OpenSSL's default, which would ask on the terminal.
  char no_passphrase[] = "";
  PrivateKeyPtr key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, no_passphrase)
                        : nullptr);
  if (!key) {
    return fail(Code::corrupt, "no private key in PEM form");
  }
  return key;
}

}  // namespace deepmoat::crypto
