// Layout of the keystore file. Pure but for the listing of the folder; thread-safe.
#include "crypto/envelope_keystore.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "crypto/generation_name.h"
#include "crypto/hmac.h"

namespace deepmoat::crypto {

namespace {

constexpr std::string_view kMagic = "DMENVEL1";
constexpr std::string_view kMacPurpose = "deepmoat keystore mac 1";
constexpr std::string_view kKeyPurpose = "deepmoat tenant key 1";
constexpr std::size_t kMacBytes = sizeof(Digest);
constexpr std::size_t kSealedKeyBytes = kAeadNonceBytes + kAeadKeyBytes + kAeadTagBytes;
constexpr std::size_t kWrappedBytesMax = 4096;
constexpr std::string_view kNameStart = "envelope-";
constexpr std::string_view kNameEnd = ".keys";

std::unexpected<Error> broken(std::string_view what) {
  return fail(Code::corrupt,
              fmt::format("the keystore of the envelope is damaged ({}); restore it from a backup "
                          "together with its key-encryption key",
                          what));
}

Result<SealedTenantKey> read_key(ByteReader& reader) {
  SealedTenantKey key;
  const auto id = reader.number<std::uint64_t>();
  const auto algorithm = reader.number<std::uint8_t>();
  const auto reserved = reader.number<std::uint64_t>();
  const auto made_ms = reader.number<std::int64_t>();
  const auto tenant = reader.text(kTenantBytesMax);
  const auto sealed = tenant ? reader.take(kSealedKeyBytes) : std::nullopt;
  if (!sealed) {
    return broken("a key is cut short");
  }
  if (*algorithm != static_cast<std::uint8_t>(AeadAlgorithm::sm4_gcm) &&
      *algorithm != static_cast<std::uint8_t>(AeadAlgorithm::aes_256_gcm)) {
    return broken("a key is of an algorithm that this program does not have");
  }
  return SealedTenantKey{.id = *id,
                         .algorithm = static_cast<AeadAlgorithm>(*algorithm),
                         .messages_reserved = *reserved,
                         .made_ms = *made_ms,
                         .tenant = std::string(*tenant),
                         .sealed = std::string(*sealed)};
}

Digest mac_of(std::string_view body, const Secret& master) {
  return hmac_sha256(derive_secret(master, kMacPurpose), body);
}

std::string key_associated(const SealedTenantKey& key, std::uint64_t generation) {
  std::string bytes(kKeyPurpose);
  put_number(bytes, generation);
  put_text(bytes, key.tenant);
  put_number(bytes, key.id);
  put_number(bytes, static_cast<std::uint8_t>(key.algorithm));
  return bytes;
}

}  // namespace

std::string keystore_bytes(const Keystore& keystore, const Secret& master) {
  std::string bytes(kMagic);
  put_number(bytes, keystore.generation);
  put_number(bytes, keystore.doomed_generation);
  put_number(bytes, keystore.next_key_id);
  put_number(bytes, keystore.made_ms);
  put_text(bytes, keystore.wrapped_master);
  put_number(bytes, static_cast<std::uint32_t>(keystore.keys.size()));
  for (const SealedTenantKey& key : keystore.keys) {
    put_number(bytes, key.id);
    put_number(bytes, static_cast<std::uint8_t>(key.algorithm));
    put_number(bytes, key.messages_reserved);
    put_number(bytes, key.made_ms);
    put_text(bytes, key.tenant);
    bytes += key.sealed;
  }
  bytes += view(mac_of(bytes, master));
  return bytes;
}

Result<Keystore> parse_keystore(std::string_view bytes) {
  if (!bytes.starts_with(kMagic) || bytes.size() < kMagic.size() + kMacBytes) {
    return broken("it does not begin as a keystore of this program");
  }
  ByteReader reader(bytes.substr(kMagic.size(), bytes.size() - kMagic.size() - kMacBytes));
  const auto generation = reader.number<std::uint64_t>();
  const auto doomed = reader.number<std::uint64_t>();
  const auto next_key_id = reader.number<std::uint64_t>();
  const auto made_ms = reader.number<std::int64_t>();
  const auto wrapped = reader.text(kWrappedBytesMax);
  const auto count = wrapped ? reader.number<std::uint32_t>() : std::nullopt;
  if (!count || *generation == 0 || *doomed == *generation || *count > kTenantKeysMax) {
    return broken("its head");
  }
  Keystore keystore{.generation = *generation,
                    .doomed_generation = *doomed,
                    .next_key_id = *next_key_id,
                    .made_ms = *made_ms,
                    .wrapped_master = std::string(*wrapped),
                    .keys = {}};
  for (std::uint32_t i = 0; i < *count; ++i) {
    TRY(SealedTenantKey key, read_key(reader));
    const std::uint64_t last = keystore.keys.empty() ? 0 : keystore.keys.back().id;
    if (key.id <= last || key.id >= keystore.next_key_id) {
      return broken("the ids of its keys");
    }
    keystore.keys.push_back(std::move(key));
  }
  if (!reader.rest().empty()) {
    return broken("more bytes than its keys need");
  }
  return keystore;
}

Result<> check_keystore(std::string_view bytes, const Secret& master) {
  if (bytes.size() < kMacBytes) {
    return broken("cut short");
  }
  const std::size_t body = bytes.size() - kMacBytes;
  if (!equal_constant_time(view(mac_of(bytes.substr(0, body), master)), bytes.substr(body))) {
    return broken("its MAC");
  }
  return {};
}

Result<> seal_tenant_key(SealedTenantKey& key, std::uint64_t generation, const Secret& master,
                         const Secret& material) {
  TRY(key.sealed, aead_seal(master, material.reveal(), key_associated(key, generation)));
  return {};
}

Result<Secret> open_tenant_key(const SealedTenantKey& key, std::uint64_t generation,
                               const Secret& master) {
  Result<Secret> material = aead_open(master, key.sealed, key_associated(key, generation));
  if (!material || material->size() != kAeadKeyBytes) {
    return broken(fmt::format("key {}", key.id));
  }
  return material;
}

std::filesystem::path keystore_path(const std::filesystem::path& folder, std::uint64_t generation) {
  return folder / fmt::format("{}{}{}", kNameStart, generation, kNameEnd);
}

Result<std::vector<std::uint64_t>> keystore_generations(const std::filesystem::path& folder) {
  std::vector<std::uint64_t> found;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(folder, error)) {
    if (const auto generation =
            generation_of(file.path().filename().string(), kNameStart, kNameEnd)) {
      found.push_back(*generation);
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return fail(Code::io, "list " + folder.string() + ": " + error.message());
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace deepmoat::crypto
