// The keystore file of the envelope, `<data>/keys/envelope-<n>.keys`: every tenant key of
// generation n, each sealed under the generation's master key. Byte by byte in
// docs/formats/keys.md. Values only: no custody, no policy.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "crypto/aead.h"

namespace deepmoat::crypto {

inline constexpr std::size_t kTenantBytesMax = 255;
inline constexpr std::size_t kTenantKeysMax = 1'000'000;
inline constexpr std::size_t kKeystoreBytesMax = std::size_t{512} << 20;

// One key of a tenant. A tenant has a further one when its first has sealed all that it may.
struct SealedTenantKey {
  std::uint64_t id = 0;
  AeadAlgorithm algorithm = AeadAlgorithm::aes_256_gcm;
  std::uint64_t messages_reserved = 0;  // it has sealed at most as many
  UnixMillis made_ms = 0;
  std::string tenant;
  std::string sealed;  // nonce | ciphertext | tag
};

struct Keystore {
  std::uint64_t generation = 0;
  // To destroy, if that was not done yet: the one before, or one that a roll began and did not
  // finish. 0: none.
  std::uint64_t doomed_generation = 0;
  std::uint64_t next_key_id = 1;
  UnixMillis made_ms = 0;
  std::string wrapped_master;
  std::vector<SealedTenantKey> keys;  // ids rise
};

// Bytes with a MAC under the master key at the end.
[[nodiscard]] std::string keystore_bytes(const Keystore& keystore, const Secret& master);

// The form alone, which is all that can be read without the master key.
// Code::corrupt for anything that keystore_bytes() does not write.
[[nodiscard]] Result<Keystore> parse_keystore(std::string_view bytes);

// Code::corrupt when anything was added, taken away or changed since.
[[nodiscard]] Result<> check_keystore(std::string_view bytes, const Secret& master);

// A key is bound to its tenant, generation, id and algorithm.
[[nodiscard]] Result<> seal_tenant_key(SealedTenantKey& key, std::uint64_t generation,
                                       const Secret& master, const Secret& material);
[[nodiscard]] Result<Secret> open_tenant_key(const SealedTenantKey& key, std::uint64_t generation,
                                             const Secret& master);

[[nodiscard]] std::filesystem::path keystore_path(const std::filesystem::path& folder,
                                                  std::uint64_t generation);
// Generations of which the folder has a whole file, rising.
[[nodiscard]] Result<std::vector<std::uint64_t>> keystore_generations(
    const std::filesystem::path& folder);

}  // namespace deepmoat::crypto
