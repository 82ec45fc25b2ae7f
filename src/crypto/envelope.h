// Envelope encryption of database fields: root of custody -> master key -> tenant key -> field.
//
// A field is   format u8 | algorithm u8 | key id u64 | nonce 12 | ciphertext | tag 16   and opens
// only where it was sealed: tenant, table, column, row, version, algorithm and key id are
// authenticated. Tenant keys are made on first use and kept in one keystore file a generation
// (envelope_keystore.h), sealed under a master key that custody wraps.
//
// roll() makes a new generation and destroys the old one: whatever copies of the old keystore lie
// in backups or in the blocks of a disk are then dead, and so is every tenant that was left out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "crypto/aead.h"
#include "crypto/custody.h"
#include "crypto/envelope_keystore.h"
#include "crypto/field_cipher.h"

namespace deepmoat::crypto {

struct EnvelopeOptions {
  std::filesystem::path folder;                          // `<data>/keys`
  AeadAlgorithm algorithm = AeadAlgorithm::aes_256_gcm;  // of keys that are made from now on
  std::size_t cached_keys_max = 1024;  // keys ready for use; the least recently used one goes
  // 2^28 random nonces of 96 bits collide with a probability of 2^-41; then comes a new key.
  std::uint64_t messages_max = std::uint64_t{1} << 28;
  // Messages are counted on the disk in portions, so that a crash cannot lose count.
  std::uint64_t messages_reserved = std::uint64_t{1} << 20;
  // False: there was a keystore once, so one that is not there is lost and not made anew.
  bool may_begin = true;
  // Asked before a key is made and before a roll: custody_watch.h. None: always.
  std::function<Result<>()> may_issue = nullptr;
};

struct EnvelopeStatus {
  std::uint64_t generation = 0;
  UnixMillis generation_made_ms = 0;
  std::size_t tenant_keys = 0;
  std::size_t cached_keys = 0;
  std::uint64_t undestroyed_generation = 0;  // of a roll that custody could not finish; 0: none
  bool locked = false;
};

struct RollReport {
  std::uint64_t old_generation = 0;
  std::uint64_t new_generation = 0;
  std::size_t keys_kept = 0;
  std::size_t keys_dropped = 0;
  bool old_destroyed = false;  // false: finish() has to be called once custody answers
};

// Thread-safe. Readers and writers go on while keys are made and generations rolled.
class Envelope final : public FieldCipher {
 public:
  // Opens the newest generation and finishes a roll that was cut short; makes the first generation
  // where there is none. Everything referred to must outlive it.
  // Code::corrupt names the file that is damaged or belongs elsewhere.
  static Result<std::unique_ptr<Envelope>> open(EnvelopeOptions options, KeyCustody& custody,
                                                const Clock& clock);
  ~Envelope() override;

  Result<std::string> seal(const FieldPlace& place, std::string_view plain) override;
  Result<Secret> open(const FieldPlace& place, std::string_view sealed) override;

  // 16 bytes that are equal for equal values of one column of one tenant, to look a row up by a
  // value that is encrypted: HMAC (SHA-256, or SM3 for a tenant whose first key is of SM4) under a
  // key of this column alone. The caller normalises. A tenant that is erased loses its index too.
  Result<std::string> blind_index(std::string_view tenant, std::string_view table,
                                  std::string_view column, std::string_view normalised);

  // A new generation of root and master key; every tenant key is sealed anew, but those of
  // `dropped` tenants: what they sealed can never be opened again. Then the old generation is
  // destroyed. After a crash at any point there is the old generation or the new one, whole.
  Result<RollReport> roll(std::span<const std::string> dropped = {});
  // Destroys what a roll left because custody did not answer.
  Result<> finish();

  // Forgets every key; all calls are refused with Code::custody_unavailable until unlock().
  void lock();
  Result<> unlock();

  [[nodiscard]] EnvelopeStatus status() const;

 private:
  struct State;
  struct TenantKey;
  class KeyCache;
  using StatePtr = std::shared_ptr<const State>;
  using KeyPtr = std::shared_ptr<TenantKey>;

  Envelope(EnvelopeOptions options, KeyCustody& custody, const Clock& clock);

  // envelope.cc: keys and fields
  [[nodiscard]] Result<StatePtr> state() const;
  Result<KeyPtr> key_of_id(std::uint64_t id, std::string_view tenant);
  std::optional<std::uint64_t> take_message(std::string_view tenant);
  Result<std::uint64_t> extend(std::string_view tenant);
  Result<KeyPtr> key_to_seal(std::string_view tenant);
  Result<KeyPtr> first_key(std::string_view tenant);

  // envelope_roll.cc: generations; the caller holds change_
  Result<> load();
  Result<StatePtr> first_generation();
  Result<StatePtr> read_generation(std::uint64_t generation);
  Result<> write(const State& state) const;
  Result<StatePtr> reseal(const State& old, std::uint64_t generation,
                          std::span<const std::string> dropped);
  Result<> announce(const State& old, std::uint64_t generation);
  Result<> write_and_verify(const State& next);
  Result<> take_back(std::uint64_t generation);
  Result<> destroy_doomed(const State& state, const Keystore* old);
  [[nodiscard]] std::string master_associated(const Keystore& keystore) const;
  void replace(StatePtr next);

  EnvelopeOptions options_;
  KeyCustody& custody_;
  const Clock& clock_;
  const std::string root_id_;
  std::mutex change_;         // one change of the keystore at a time; taken before mutex_
  mutable std::mutex mutex_;  // what follows
  StatePtr state_;            // null while locked
  std::unique_ptr<KeyCache> cache_;
  std::unordered_map<std::uint64_t, std::uint64_t> budget_;  // key id -> reserved messages left
  std::uint64_t undestroyed_ = 0;
};

}  // namespace deepmoat::crypto
