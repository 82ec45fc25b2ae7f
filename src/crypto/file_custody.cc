// Root keys in files. Thread-safe by one mutex: nothing here is called often.
#include "crypto/file_custody.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/random.h"
#include "crypto/aead.h"
#include "crypto/bytes.h"
#include "crypto/generation_name.h"
#include "crypto/hmac.h"
#include "crypto/private_file.h"

namespace deepmoat::crypto {

namespace {

constexpr std::string_view kMagic = "DMKEK001";
constexpr std::string_view kSealingPurpose = "deepmoat key-encryption keys 1";
constexpr std::string_view kNameStart = "kek-";
constexpr std::string_view kNameEnd = ".key";
constexpr std::size_t kHeaderBytes = 16;
constexpr std::size_t kFileBytes = kHeaderBytes + kAeadNonceBytes + kAeadKeyBytes + kAeadTagBytes;

}  // namespace

FileCustody::FileCustody(std::filesystem::path key_file, RootSecrets secrets)
    : key_file_(std::move(key_file)),
      secrets_(std::move(secrets)),
      sealing_(derive_secret(secrets_.signing, kSealingPurpose)) {}

Result<std::unique_ptr<FileCustody>> FileCustody::open(const std::filesystem::path& key_file,
                                                       const Secret& passphrase, bool first_start) {
  TRY(RootSecrets secrets, open_or_create_key_file(key_file, passphrase, first_start));
  return std::unique_ptr<FileCustody>(new FileCustody(key_file, std::move(secrets)));
}

Result<RootSecrets> FileCustody::root_secrets() {
  return RootSecrets{.signing = Secret::copy_of(secrets_.signing.reveal()),
                     .pepper = Secret::copy_of(secrets_.pepper.reveal()),
                     .audit_fingerprint = Secret::copy_of(secrets_.audit_fingerprint.reveal()),
                     .id = secrets_.id};
}

std::filesystem::path FileCustody::path_of(std::uint64_t generation) const {
  return key_file_.parent_path() / fmt::format("{}{}{}", kNameStart, generation, kNameEnd);
}

// Also the first 16 bytes of the file; the id keeps files of two installations apart.
std::string FileCustody::associated_with(std::uint64_t generation) const {
  std::string bytes(kMagic);
  put_number(bytes, generation);
  put_text(bytes, secrets_.id);
  return bytes;
}

Result<> FileCustody::generate(std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  std::error_code error;
  if (std::filesystem::exists(path_of(generation), error)) {
    return fail(Code::already_exists, path_of(generation).string() + " is there already");
  }
  TRY(std::string random, random_bytes(kAeadKeyBytes));
  const Secret key(std::move(random));
  const std::string associated = associated_with(generation);
  TRY(const std::string sealed, aead_seal(sealing_, key.reveal(), associated));
  return write_file_atomic(path_of(generation), associated.substr(0, kHeaderBytes) + sealed, 0600);
}

Result<std::vector<std::uint64_t>> FileCustody::generations() {
  std::vector<std::uint64_t> found;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(key_file_.parent_path(), error)) {
    if (const auto generation =
            generation_of(file.path().filename().string(), kNameStart, kNameEnd)) {
      found.push_back(*generation);
    }
  }
  if (error) {
    return fail(Code::unavailable,
                "cannot list " + key_file_.parent_path().string() + ": " + error.message());
  }
  std::ranges::sort(found);
  return found;
}

// Overwritten before it goes, for disks that write in place. Flash keeps old blocks: what then
// protects is that the bytes are sealed (the key file's passphrase), see docs/custody.md.
Result<> FileCustody::destroy(std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  const std::filesystem::path path = path_of(generation);
  {
    Result<UniqueFd> file = open_file(path, O_WRONLY);
    if (!file && file.error().code == Code::not_found) {
      return {};
    }
    TRY(const UniqueFd opened, std::move(file));
    TRY(const std::string noise, random_bytes(kFileBytes));
    CHECK_OK(write_all_at(opened.get(), noise, 0));
    if (::fsync(opened.get()) != 0) {
      return fail_errno(Code::io, "overwrite " + path.string());
    }
  }
  if (::unlink(path.c_str()) != 0) {
    return fail_errno(Code::io, "remove " + path.string());
  }
  return sync_directory(path.parent_path());
}

Result<Secret> FileCustody::load(std::uint64_t generation) const {
  TRY(const Secret file, read_private_file(path_of(generation), kFileBytes));
  const std::string associated = associated_with(generation);
  const std::string_view bytes = file.reveal();
  if (!bytes.starts_with(std::string_view(associated).substr(0, kHeaderBytes))) {
    return fail(Code::corrupt, path_of(generation).string() + " is no key file of this generation");
  }
  Result<Secret> key = aead_open(sealing_, bytes.substr(kHeaderBytes), associated);
  if (!key || key->size() != kAeadKeyBytes) {
    return fail(Code::corrupt, path_of(generation).string() +
                                   " is damaged, or belongs to another key file; restore both "
                                   "from one backup");
  }
  return key;
}

Result<std::string> FileCustody::wrap(std::uint64_t generation, const Secret& plain,
                                      std::string_view associated) {
  const std::lock_guard lock(mutex_);
  TRY(const Secret key, load(generation));
  return aead_seal(key, plain.reveal(), associated);
}

Result<Secret> FileCustody::unwrap(std::uint64_t generation, std::string_view wrapped,
                                   std::string_view associated) {
  const std::lock_guard lock(mutex_);
  TRY(const Secret key, load(generation));
  return aead_open(key, wrapped, associated);
}

// The keys are in memory; what can be lost is the file that the next start needs.
Result<> FileCustody::check() {
  const std::lock_guard lock(mutex_);
  const Result<std::string> id = key_file_id(key_file_);
  if (!id) {
    return fail(id.error().code == Code::corrupt ? Code::corrupt : Code::unavailable,
                id.error().message);
  }
  if (*id != secrets_.id) {
    return fail(Code::corrupt, key_file_.string() + " is another key file than at the start");
  }
  return {};
}

Result<> FileCustody::recover() {
  return check();
}

CustodyFacts FileCustody::describe() {
  const std::lock_guard lock(mutex_);
  const Result<std::string> protection = key_file_protection(key_file_);
  return {.kind = "file",
          .place = key_file_.string(),
          .protection = protection ? *protection : protection.error().message,
          .id = secrets_.id,
          .keys_can_leave = true};
}

}  // namespace deepmoat::crypto
