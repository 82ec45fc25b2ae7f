// The sealed key file: layout, scrypt, rights. One thread, at start.
#include "crypto/key_file.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/file.h"
#include "base/hex.h"
#include "base/random.h"
#include "crypto/aead.h"
#include "crypto/crc32.h"
#include "crypto/digest.h"
#include "crypto/private_file.h"

namespace deepmoat::crypto {

namespace {

// Offsets of docs/formats/keys.md.
constexpr std::string_view kMagic = "DMROOTK1";
constexpr std::size_t kSealingAt = 8;
constexpr std::size_t kCostAt = 9;
constexpr std::size_t kBlockSizeAt = 10;
constexpr std::size_t kLanesAt = 11;
constexpr std::size_t kChecksumAt = 12;
constexpr std::size_t kIdAt = 16;
constexpr std::size_t kSaltAt = 32;
constexpr std::size_t kSealedAt = 48;
constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kSecretsBytes = 3 * kSecretBytes;
constexpr std::size_t kFileBytes = kSealedAt + kAeadNonceBytes + kSecretsBytes + kAeadTagBytes;

constexpr char kSealedByNothing = 0;
constexpr char kSealedByScrypt = 1;

// scrypt N = 2^16, r = 8, p = 2: 64 MiB and some 0.3 s a guess (OWASP's password cheat sheet).
constexpr char kScryptCostLog2 = 16;
constexpr char kScryptBlockSize = 8;
constexpr char kScryptLanes = 2;
// What a reader accepts, so that a crafted file cannot ask for all memory.
constexpr char kScryptCostLog2Max = 20;
constexpr char kScryptLanesMax = 16;
constexpr std::uint64_t kScryptBytesMax = std::uint64_t{2} << 30;

struct FreeKdf {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

Result<Secret> scrypt(const Secret& passphrase, std::string_view header) {
  std::uint64_t cost = std::uint64_t{1} << header[kCostAt];
  auto block_size = static_cast<std::uint32_t>(header[kBlockSizeAt]);
  auto lanes = static_cast<std::uint32_t>(header[kLanesAt]);
  std::uint64_t bytes_max = kScryptBytesMax;
  std::string salt(header.substr(kSaltAt, kSaltBytes));
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

Result<Secret> sealing_key(const Secret& passphrase, std::string_view header) {
  if (header[kSealingAt] == kSealedByScrypt) {
    return scrypt(passphrase, header);
  }
  // Public on purpose: finds damage, hides nothing (see the header).
  return Secret::copy_of(view(sha256("deepmoat root key file without a passphrase, version 1")));
}

void put_checksum(std::string& file) {
  std::fill_n(file.begin() + kChecksumAt, 4, '\0');
  const std::uint32_t sum = crc32(file);
  for (std::size_t i = 0; i < 4; ++i) {
    file[kChecksumAt + i] = static_cast<char>(sum >> (8 * (3 - i)));
  }
}

// The checksum tells damage from a wrong passphrase; the seal is what proves anything.
Result<> check_form(std::string_view file, const std::string& name) {
  if (file.substr(0, kMagic.size()) != kMagic) {
    return fail(Code::corrupt, name + " is no key file of this program, or of a newer one; " +
                                   "restore it from a backup");
  }
  std::string copy(file);
  put_checksum(copy);
  const bool intact = file.size() == kFileBytes && copy == file;
  wipe(std::as_writable_bytes(std::span(copy)));
  const bool plausible =
      intact && (file[kSealingAt] == kSealedByNothing ||
                 (file[kSealingAt] == kSealedByScrypt && file[kCostAt] >= 1 &&
                  file[kCostAt] <= kScryptCostLog2Max && file[kBlockSizeAt] == kScryptBlockSize &&
                  file[kLanesAt] >= 1 && file[kLanesAt] <= kScryptLanesMax));
  if (!plausible) {
    return fail(Code::corrupt, name + " is damaged; restore it from a backup");
  }
  return {};
}

RootSecrets split(std::string_view plain, std::string_view header) {
  return {.signing = Secret::copy_of(plain.substr(0, kSecretBytes)),
          .pepper = Secret::copy_of(plain.substr(kSecretBytes, kSecretBytes)),
          .audit_fingerprint = Secret::copy_of(plain.substr(2 * kSecretBytes, kSecretBytes)),
          .id = to_hex(header.substr(kIdAt, kIdBytes))};
}

}  // namespace

Result<RootSecrets> open_key_file(const std::filesystem::path& path, const Secret& passphrase) {
  TRY(const Secret file, read_private_file(path, kFileBytes));
  const std::string_view bytes = file.reveal();
  CHECK_OK(check_form(bytes, path.string()));
  const std::string_view header = bytes.substr(0, kSealedAt);
  const bool needs_passphrase = header[kSealingAt] == kSealedByScrypt;
  if (needs_passphrase && passphrase.empty()) {
    return fail(Code::unauthenticated,
                path.string() + " is sealed with a passphrase and none is given");
  }
  if (!needs_passphrase && !passphrase.empty()) {
    return fail(Code::invalid_argument,
                path.string() + " was made without a passphrase, so the one that is given " +
                    "protects nothing; take it out of the configuration");
  }
  TRY(const Secret key, sealing_key(passphrase, header));
  std::string associated(header);
  std::fill_n(associated.begin() + kChecksumAt, 4, '\0');
  const Result<Secret> plain = aead_open(key, bytes.substr(kSealedAt), associated);
  if (!plain) {
    return needs_passphrase
               ? fail(Code::unauthenticated, "wrong passphrase for " + path.string())
               : fail(Code::corrupt, path.string() + " is damaged; restore it from a backup");
  }
  return split(plain->reveal(), header);
}

Result<RootSecrets> create_key_file(const std::filesystem::path& path, const Secret& passphrase) {
  std::error_code error;
  if (std::filesystem::exists(path, error) || error) {
    return fail(Code::already_exists, path.string() + " is there already; it is never replaced");
  }
  TRY(std::string random, random_bytes(kIdBytes + kSaltBytes + kSecretsBytes));
  const Secret material(std::move(random));
  const std::string_view plain = material.reveal().substr(kIdBytes + kSaltBytes);

  std::string file(kMagic);
  if (passphrase.empty()) {
    file.append({kSealedByNothing, 0, 0, 0});
  } else {
    file.append({kSealedByScrypt, kScryptCostLog2, kScryptBlockSize, kScryptLanes});
  }
  file.append(4, '\0');
  file.append(material.reveal().substr(0, kIdBytes + kSaltBytes));
  TRY(const Secret key, sealing_key(passphrase, file));
  // The checksum covers the sealed bytes too, so they are sealed while its field is zero.
  TRY(const std::string sealed, aead_seal(key, plain, file));
  const std::string header = file;
  file += sealed;
  put_checksum(file);

  if (path.has_parent_path()) {
    CHECK_OK(make_directory(path.parent_path(), 0700));
  }
  CHECK_OK(write_file_atomic(path, file, 0600));
  return split(plain, header);
}

Result<RootSecrets> open_or_create_key_file(const std::filesystem::path& path,
                                            const Secret& passphrase, bool first_start) {
  Result<RootSecrets> opened = open_key_file(path, passphrase);
  if (opened || opened.error().code != Code::not_found) {
    return opened;
  }
  if (!first_start) {
    return fail(Code::not_found,
                path.string() +
                    " is gone, and without it every key of this data folder is dead; "
                    "restore it from a backup");
  }
  return create_key_file(path, passphrase);
}

}  // namespace deepmoat::crypto
