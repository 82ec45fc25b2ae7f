// The sealed key file: layout and rights. One thread, at start.
#include "crypto/key_file.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/file.h"
#include "base/hex.h"
#include "base/random.h"
#include "crypto/aead.h"
#include "crypto/crc32.h"
#include "crypto/digest.h"
#include "crypto/passphrase.h"
#include "crypto/private_file.h"

namespace deepmoat::crypto {

namespace {

// Offsets of docs/formats/keys.md.
// An older program must not call the newer form damaged, so it has another number.
constexpr std::string_view kMagic = "DMROOTK1";
constexpr std::string_view kArgon2Magic = "DMROOTK2";
constexpr std::size_t kSealingAt = 8;
constexpr std::size_t kCostAt = 9;  // 3 bytes: see passphrase.h
constexpr std::size_t kCostBytes = 3;
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
constexpr char kSealedByArgon2 = 2;

bool needs_passphrase(std::string_view header) {
  return header[kSealingAt] != kSealedByNothing;
}

Result<Secret> sealing_key(const Secret& passphrase, std::string_view header) {
  const std::string_view cost = header.substr(kCostAt, kCostBytes);
  const std::string_view salt = header.substr(kSaltAt, kSaltBytes);
  switch (header[kSealingAt]) {
    case kSealedByScrypt:
      return scrypt(passphrase, salt, cost);
    case kSealedByArgon2:
      return argon2id(passphrase, salt, cost);
    default:
      // Public on purpose: finds damage, hides nothing (see the header).
      return Secret::copy_of(
          view(sha256("deepmoat root key file without a passphrase, version 1")));
  }
}

bool plausible_sealing(std::string_view file) {
  const std::string_view magic = file.substr(0, kMagic.size());
  const std::string_view cost = file.substr(kCostAt, kCostBytes);
  switch (file[kSealingAt]) {
    case kSealedByNothing:
      return magic == kMagic;
    case kSealedByScrypt:
      return magic == kMagic && scrypt_cost_bearable(cost);
    case kSealedByArgon2:
      return magic == kArgon2Magic && argon2id_cost_bearable(cost);
    default:
      return false;
  }
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
  const std::string_view magic = file.substr(0, kMagic.size());
  if (magic != kMagic && magic != kArgon2Magic) {
    return fail(Code::corrupt, name + " is no key file of this program, or of a newer one; " +
                                   "restore it from a backup");
  }
  const auto damaged = [&] {
    return fail(Code::corrupt, name + " is damaged; restore it from a backup");
  };
  if (file.size() != kFileBytes) {
    return damaged();
  }
  std::string copy(file);
  put_checksum(copy);
  const bool intact = copy == file;
  wipe(std::as_writable_bytes(std::span(copy)));
  if (!intact || !plausible_sealing(file)) {
    return damaged();
  }
  return {};
}

RootSecrets split(std::string_view plain, std::string_view header) {
  return {.signing = Secret::copy_of(plain.substr(0, kSecretBytes)),
          .pepper = Secret::copy_of(plain.substr(kSecretBytes, kSecretBytes)),
          .audit_fingerprint = Secret::copy_of(plain.substr(2 * kSecretBytes, kSecretBytes)),
          .id = to_hex(header.substr(kIdAt, kIdBytes))};
}

// `material`: id, salt and the secrets.
Result<std::string> compose(const Secret& material, const Secret& passphrase) {
  std::string file(passphrase.empty() ? kMagic : kArgon2Magic);
  file += passphrase.empty() ? kSealedByNothing : kSealedByArgon2;
  file += passphrase.empty() ? std::string_view("\0\0\0", kCostBytes) : kArgon2idCost;
  file.append(4, '\0');
  file.append(material.reveal().substr(0, kIdBytes + kSaltBytes));
  TRY(const Secret key, sealing_key(passphrase, file));
  // The checksum covers the sealed bytes too, so they are sealed while its field is zero.
  TRY(const std::string sealed,
      aead_seal(key, material.reveal().substr(kIdBytes + kSaltBytes), file));
  file += sealed;
  put_checksum(file);
  return file;
}

Result<Secret> read_intact(const std::filesystem::path& path) {
  TRY(Secret file, read_private_file(path, kFileBytes));
  CHECK_OK(check_form(file.reveal(), path.string()));
  return file;
}

}  // namespace

Result<RootSecrets> open_key_file(const std::filesystem::path& path, const Secret& passphrase) {
  TRY(const Secret file, read_intact(path));
  const std::string_view bytes = file.reveal();
  const std::string_view header = bytes.substr(0, kSealedAt);
  if (needs_passphrase(header) && passphrase.empty()) {
    return fail(Code::unauthenticated,
                path.string() + " is sealed with a passphrase and none is given");
  }
  if (!needs_passphrase(header) && !passphrase.empty()) {
    return fail(Code::invalid_argument,
                path.string() + " was made without a passphrase, so the one that is given " +
                    "protects nothing; take it out of the configuration");
  }
  TRY(const Secret key, sealing_key(passphrase, header));
  std::string associated(header);
  std::fill_n(associated.begin() + kChecksumAt, 4, '\0');
  const Result<Secret> plain = aead_open(key, bytes.substr(kSealedAt), associated);
  if (!plain) {
    return needs_passphrase(header)
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
  TRY(const std::string file, compose(material, passphrase));
  if (path.has_parent_path()) {
    CHECK_OK(make_directory(path.parent_path(), 0700));
  }
  CHECK_OK(write_file_atomic(path, file, 0600));
  return split(material.reveal().substr(kIdBytes + kSaltBytes),
               std::string_view(file).substr(0, kSealedAt));
}

Result<> rewrap_key_file(const std::filesystem::path& path, const Secret& passphrase,
                         const Secret& new_passphrase) {
  TRY(const RootSecrets secrets, open_key_file(path, passphrase));
  TRY(std::string bytes, from_hex(secrets.id));
  TRY(const std::string salt, random_bytes(kSaltBytes));
  bytes.reserve(kIdBytes + kSaltBytes + kSecretsBytes);  // no stray copies of secret bytes
  bytes += salt;
  bytes += secrets.signing.reveal();
  bytes += secrets.pepper.reveal();
  bytes += secrets.audit_fingerprint.reveal();
  const Secret material(std::move(bytes));
  TRY(const std::string file, compose(material, new_passphrase));
  return write_file_atomic(path, file, 0600);
}

Result<std::string> key_file_id(const std::filesystem::path& path) {
  TRY(const Secret file, read_intact(path));
  return to_hex(file.reveal().substr(kIdAt, kIdBytes));
}

Result<std::string> key_file_protection(const std::filesystem::path& path) {
  TRY(const Secret file, read_intact(path));
  switch (file.reveal()[kSealingAt]) {
    case kSealedByScrypt:
      return "sealed with a passphrase (scrypt; the next `deepmoat custody rewrap` makes it "
             "Argon2id)";
    case kSealedByArgon2:
      return "sealed with a passphrase (Argon2id)";
    default:
      return "no passphrase: only the rights of the file protect it";
  }
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
