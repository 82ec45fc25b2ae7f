// For this module's tests: keys made by OpenSSL, and notes that they sign.
#pragma once

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verifier/base64.h"
#include "verifier/hash.h"
#include "verifier/note.h"

namespace deepmoat::verifier {

class ScratchSigner {
 public:
  ScratchSigner(KeyKind kind, std::string name)
      : kind_(kind),
        name_(std::move(name)),
        key_(EVP_PKEY_Q_keygen(nullptr, nullptr, kind == KeyKind::sm2 ? "SM2" : "ED25519"),
             &EVP_PKEY_free) {
    EXPECT_NE(key_, nullptr);
    algorithm_and_key_ = kind == KeyKind::sm2 ? "\xff"
                                                "deepmoat-sm2-sm3-v1"
                                              : "\x01";
    std::size_t bytes = 0;
    std::string point(65, '\0');
    auto* out = reinterpret_cast<unsigned char*>(point.data());
    if (kind == KeyKind::sm2) {
      EXPECT_EQ(EVP_PKEY_get_octet_string_param(key_.get(), OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, out,
                                                point.size(), &bytes),
                1);
    } else {
      bytes = point.size();
      EXPECT_EQ(EVP_PKEY_get_raw_public_key(key_.get(), out, &bytes), 1);
    }
    algorithm_and_key_ += point.substr(0, bytes);
    id_ = std::string(view(sha256(name_ + "\n" + algorithm_and_key_)).substr(0, 4));
  }

  // As `deepmoat audit key` prints it.
  [[nodiscard]] std::string key_text() const {
    std::string hex;
    for (const unsigned char c : id_) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      hex += {kDigits[c >> 4], kDigits[c & 15]};
    }
    return name_ + "+" + hex + "+" + to_base64(algorithm_and_key_);
  }
  [[nodiscard]] VerifierKey key() const { return parse_key(key_text()).value(); }

  // One signature line.
  [[nodiscard]] std::string sign(std::string_view text) const {
    const std::string raw = kind_ == KeyKind::sm2 ? sign_sm2(text) : sign_ed25519(text);
    return "\xe2\x80\x94 " + name_ + " " + to_base64(id_ + raw) + "\n";
  }
  [[nodiscard]] std::string note(const std::string& text) const { return text + "\n" + sign(text); }

 private:
  using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

  std::string finish(EVP_MD_CTX* context, std::string_view text) const {
    std::string signature(128, '\0');
    std::size_t bytes = signature.size();
    EXPECT_EQ(EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &bytes,
                             reinterpret_cast<const unsigned char*>(text.data()), text.size()),
              1);
    signature.resize(bytes);
    return signature;
  }

  std::string sign_ed25519(std::string_view text) const {
    const Context context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    EXPECT_EQ(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()), 1);
    return finish(context.get(), text);
  }

  std::string sign_sm2(std::string_view text) const {
    const Context context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
    EVP_PKEY_CTX* identity = EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr);
    EVP_PKEY_CTX_set1_id(identity, "1234567812345678", 16);
    EVP_MD_CTX_set_pkey_ctx(context.get(), identity);
    EXPECT_EQ(EVP_DigestSignInit(context.get(), nullptr, EVP_sm3(), nullptr, key_.get()), 1);
    const std::string der = finish(context.get(), text);
    EVP_PKEY_CTX_free(identity);
    const auto* in = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &in, static_cast<long>(der.size()));
    std::string raw(64, '\0');
    auto* out = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32);
    ECDSA_SIG_free(pair);
    return raw;
  }

  KeyKind kind_;
  std::string name_;
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
  std::string algorithm_and_key_;
  std::string id_;
};

}  // namespace deepmoat::verifier
