// Argon2id over Botan, scrypt over OpenSSL (which has no Argon2 before 3.2). One thread.
#include "crypto/passphrase.h"

#include <botan/pwdhash.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "crypto/aead.h"

namespace deepmoat::crypto {

namespace {

constexpr std::size_t kCostBytes = 3;
constexpr int kMemoryLog2Max = 20;  // 1 GiB
constexpr int kPassesMax = 16;
constexpr int kLanesMax = 16;
constexpr int kScryptBlockSize = 8;
constexpr std::uint64_t kScryptBytesMax = std::uint64_t{2} << 30;

int at(std::string_view cost, std::size_t index) {
  return static_cast<unsigned char>(cost[index]);
}

bool within(int value, int low, int high) {
  return value >= low && value <= high;
}

struct FreeKdf {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

}  // namespace

bool argon2id_cost_bearable(std::string_view cost) {
  return cost.size() == kCostBytes && within(at(cost, 0), 3, kMemoryLog2Max) &&
         within(at(cost, 1), 1, kPassesMax) && within(at(cost, 2), 1, kLanesMax) &&
         (1 << at(cost, 0)) >= 8 * at(cost, 2);  // RFC 9106: 8 KiB a lane at least
}

bool scrypt_cost_bearable(std::string_view cost) {
  return cost.size() == kCostBytes && within(at(cost, 0), 1, kMemoryLog2Max) &&
         at(cost, 1) == kScryptBlockSize && within(at(cost, 2), 1, kLanesMax);
}

Result<Secret> argon2id(const Secret& passphrase, std::string_view salt, std::string_view cost) {
  if (!argon2id_cost_bearable(cost)) {
    return fail(Code::invalid_argument, "argon2id: the cost is out of bounds");
  }
  std::string key(kAeadKeyBytes, '\0');
  try {
    const auto family = Botan::PasswordHashFamily::create_or_throw("Argon2id");
    const auto hash =
        family->from_params(std::size_t{1} << at(cost, 0), static_cast<std::size_t>(at(cost, 1)),
                            static_cast<std::size_t>(at(cost, 2)));
    hash->derive_key(reinterpret_cast<std::uint8_t*>(key.data()), key.size(),
                     passphrase.reveal().data(), passphrase.size(),
                     reinterpret_cast<const std::uint8_t*>(salt.data()), salt.size());
  } catch (const std::exception& error) {
    return fail(Code::unavailable,
                std::string("key file: Botan could not run Argon2id, which needs "
                            "64 MiB of free memory: ") +
                    error.what());
  }
  return Secret(std::move(key));
}

Result<Secret> scrypt(const Secret& passphrase, std::string_view salt_bytes,
                      std::string_view cost_bytes) {
  if (!scrypt_cost_bearable(cost_bytes)) {
    return fail(Code::invalid_argument, "scrypt: the cost is out of bounds");
  }
  std::uint64_t cost = std::uint64_t{1} << at(cost_bytes, 0);
  auto block_size = static_cast<std::uint32_t>(at(cost_bytes, 1));
  auto lanes = static_cast<std::uint32_t>(at(cost_bytes, 2));
  std::uint64_t bytes_max = kScryptBytesMax;
  std::string salt(salt_bytes);
  const std::string_view password = passphrase.reveal();
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, const_cast<char*>(password.data()),
                                        password.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
      OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &cost),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &block_size),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &lanes),
      OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &bytes_max),
      OSSL_PARAM_construct_end()};
  const std::unique_ptr<EVP_KDF, FreeKdf> kdf(EVP_KDF_fetch(nullptr, "SCRYPT", nullptr));
  const std::unique_ptr<EVP_KDF_CTX, FreeKdf> context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  std::string key(kAeadKeyBytes, '\0');
  if (!context || EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(key.data()),
                                 key.size(), parameters) <= 0) {
    return fail(Code::unavailable,
                "key file: OpenSSL could not run scrypt; it needs 64 MiB of free memory");
  }
  return Secret(std::move(key));
}

}  // namespace deepmoat::crypto
