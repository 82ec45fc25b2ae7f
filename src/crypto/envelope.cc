// Fields, and the tenant keys that seal them. Locks: change_ before mutex_; a key's own mutex
// alone.
#include "crypto/envelope.h"

#include <fmt/format.h>

#include "base/random.h"
#include "crypto/bytes.h"
#include "crypto/envelope_state.h"
#include "crypto/hmac.h"
#include "crypto/sm3.h"

namespace deepmoat::crypto {

namespace {

constexpr std::uint8_t kFieldFormat = 1;
constexpr std::size_t kHeaderBytes = 10;
constexpr std::size_t kIndexBytes = 16;
constexpr std::string_view kFieldPurpose = "deepmoat field key 1";
constexpr std::string_view kIndexPurpose = "deepmoat blind index 1";

std::unexpected<Error> locked_out() {
  return fail(Code::custody_unavailable,
              "the root keys are not available, so encrypted fields can be neither read nor "
              "written");
}

std::unexpected<Error> not_of_here() {
  return fail(Code::corrupt,
              "an encrypted field does not open: it was changed, moved, is of an older version of "
              "its row, or its key was destroyed");
}

// HMAC of the key's family: SM3 with SM4, else SHA-256.
Result<Secret> mac(AeadAlgorithm algorithm, const Secret& key, std::string_view bytes) {
  Digest digest{};
  if (algorithm == AeadAlgorithm::sm4_gcm) {
    TRY(digest, hmac_sm3(key, bytes));
  } else {
    digest = hmac_sha256(key, bytes);
  }
  Secret secret = Secret::copy_of(view(digest));
  wipe(std::as_writable_bytes(std::span(digest)));
  return secret;
}

// HKDF-Expand of RFC 5869, one block.
Result<Secret> expand(AeadAlgorithm algorithm, const Secret& key, std::string purpose) {
  purpose += '\x01';
  return mac(algorithm, key, purpose);
}

std::string associated_of(const FieldPlace& place, AeadAlgorithm algorithm, std::uint64_t id) {
  std::string bytes;
  put_text(bytes, place.tenant);
  put_text(bytes, place.table);
  put_text(bytes, place.column);
  put_text(bytes, place.row);
  put_number(bytes, place.version);
  put_number(bytes, static_cast<std::uint8_t>(algorithm));
  put_number(bytes, id);
  return bytes;
}

Result<> check_tenant(std::string_view tenant) {
  if (tenant.empty() || tenant.size() > kTenantBytesMax) {
    return fail(Code::invalid_argument,
                fmt::format("tenant: 1 to {} bytes are needed for a key", kTenantBytesMax));
  }
  return {};
}

}  // namespace

Envelope::Envelope(EnvelopeOptions options, KeyCustody& custody, const Clock& clock)
    : options_(std::move(options)),
      custody_(custody),
      clock_(clock),
      root_id_(custody.describe().id),
      cache_(std::make_unique<KeyCache>(options_.cached_keys_max)) {}

Envelope::~Envelope() = default;

Result<Envelope::StatePtr> Envelope::state() const {
  const std::lock_guard lock(mutex_);
  if (!state_) {
    return locked_out();
  }
  return state_;
}

Result<std::string> Envelope::seal(const FieldPlace& place, std::string_view plain) {
  CHECK_OK(check_tenant(place.tenant));
  TRY(const KeyPtr key, key_to_seal(place.tenant));
  TRY(const std::string nonce, random_bytes(kAeadNonceBytes));
  std::string field;
  field.reserve(kHeaderBytes + nonce.size() + plain.size() + kAeadTagBytes);
  put_number(field, kFieldFormat);
  put_number(field, static_cast<std::uint8_t>(key->algorithm));
  put_number(field, key->id);
  field += nonce;
  const std::string associated = associated_of(place, key->algorithm, key->id);
  const std::lock_guard lock(key->mutex);
  TRY(const std::string sealed, key->aead->seal(nonce, plain, associated));
  field += sealed;
  return field;
}

Result<Secret> Envelope::open(const FieldPlace& place, std::string_view sealed) {
  ByteReader reader(sealed);
  const auto format = reader.number<std::uint8_t>();
  const auto algorithm = reader.number<std::uint8_t>();
  const auto id = reader.number<std::uint64_t>();
  const auto nonce = reader.take(kAeadNonceBytes);
  if (!nonce || *format != kFieldFormat || reader.rest().size() < kAeadTagBytes) {
    return fail(Code::corrupt, "an encrypted field does not begin as one of this program");
  }
  TRY(const KeyPtr key, key_of_id(*id, place.tenant));
  if (*algorithm != static_cast<std::uint8_t>(key->algorithm)) {
    return not_of_here();
  }
  const std::string associated = associated_of(place, key->algorithm, key->id);
  const std::lock_guard lock(key->mutex);
  Result<Secret> plain = key->aead->open(*nonce, reader.rest(), associated);
  return plain ? std::move(plain) : not_of_here();
}

Result<std::string> Envelope::blind_index(std::string_view tenant, std::string_view table,
                                          std::string_view column, std::string_view normalised) {
  CHECK_OK(check_tenant(tenant));
  TRY(const KeyPtr key, first_key(tenant));
  std::string purpose(kIndexPurpose);
  put_text(purpose, table);
  put_text(purpose, column);
  TRY(const Secret index_key, expand(key->algorithm, key->material, std::move(purpose)));
  TRY(const Secret index, mac(key->algorithm, index_key, normalised));
  return std::string(index.reveal().substr(0, kIndexBytes));
}

// From the cache, or opened and put there.
Result<Envelope::KeyPtr> Envelope::key_of_id(std::uint64_t id, std::string_view tenant) {
  StatePtr current;
  KeyPtr key;
  {
    const std::lock_guard lock(mutex_);
    if (!state_) {
      return locked_out();
    }
    current = state_;
    key = cache_->get(id);
  }
  const SealedTenantKey* const sealed = current->find(id);
  if (sealed == nullptr || sealed->tenant != tenant) {
    return not_of_here();
  }
  if (key) {
    return key;
  }
  TRY(Secret material, open_tenant_key(*sealed, current->keystore.generation, *current->master));
  TRY(const Secret expanded, expand(sealed->algorithm, material, std::string(kFieldPurpose)));
  const Secret field_key =
      Secret::copy_of(expanded.reveal().substr(0, aead_key_bytes(sealed->algorithm)));
  key = std::make_shared<TenantKey>();
  key->id = id;
  key->algorithm = sealed->algorithm;
  key->material = std::move(material);
  TRY(key->aead, Aead::make(sealed->algorithm, field_key));
  const std::lock_guard lock(mutex_);
  if (!state_ || state_->find(id) == nullptr) {  // locked, or dropped by a roll meanwhile
    return not_of_here();
  }
  cache_->put(key);
  return key;
}

// One message of the tenant's newest key, if its reserve on the disk has one left.
std::optional<std::uint64_t> Envelope::take_message(std::string_view tenant) {
  const std::lock_guard lock(mutex_);
  const SealedTenantKey* const newest = state_ ? state_->newest_of(tenant) : nullptr;
  if (newest == nullptr || newest->algorithm != options_.algorithm) {
    return std::nullopt;
  }
  const auto left = budget_.find(newest->id);
  if (left == budget_.end() || left->second == 0) {
    return std::nullopt;
  }
  --left->second;
  return newest->id;
}

// Reserves further messages, or makes a key; durable before the first is used.
Result<std::uint64_t> Envelope::extend(std::string_view tenant) {
  const std::lock_guard changing(change_);
  if (const auto id = take_message(tenant)) {
    return *id;  // another thread was here before
  }
  TRY(const StatePtr old, state());
  auto next = std::make_shared<State>(*old);
  const SealedTenantKey* const newest = old->newest_of(tenant);
  std::uint64_t id = 0;
  std::uint64_t portion = std::min(options_.messages_reserved, options_.messages_max);
  if (newest != nullptr && newest->algorithm == options_.algorithm &&
      newest->messages_reserved < options_.messages_max) {
    id = newest->id;
    portion = std::min(portion, options_.messages_max - newest->messages_reserved);
    std::ranges::lower_bound(next->keystore.keys, id, {}, &SealedTenantKey::id)
        ->messages_reserved += portion;
  } else {
    if (options_.may_issue) {
      CHECK_OK(options_.may_issue());
    }
    if (next->keystore.keys.size() >= kTenantKeysMax) {
      return fail(Code::resource_exhausted,
                  fmt::format("the envelope holds {} keys, and no more fit", kTenantKeysMax));
    }
    TRY(std::string random, random_bytes(kAeadKeyBytes));
    const Secret material(std::move(random));
    id = next->keystore.next_key_id++;
    SealedTenantKey key{.id = id,
                        .algorithm = options_.algorithm,
                        .messages_reserved = portion,
                        .made_ms = clock_.unix_ms(),
                        .tenant = std::string(tenant),
                        .sealed = {}};
    CHECK_OK(seal_tenant_key(key, next->keystore.generation, *next->master, material));
    next->keystore.keys.push_back(std::move(key));
    next->index();
  }
  CHECK_OK(write(*next));
  const std::lock_guard lock(mutex_);
  if (!state_) {
    return locked_out();
  }
  state_ = std::move(next);
  budget_[id] += portion - 1;
  return id;
}

Result<Envelope::KeyPtr> Envelope::key_to_seal(std::string_view tenant) {
  if (const auto id = take_message(tenant)) {
    return key_of_id(*id, tenant);
  }
  TRY(const std::uint64_t id, extend(tenant));
  return key_of_id(id, tenant);
}

// The index of a tenant stays the same when further keys are made, so it hangs on the first.
Result<Envelope::KeyPtr> Envelope::first_key(std::string_view tenant) {
  TRY(StatePtr current, state());
  if (current->first_of(tenant) == nullptr) {
    TRY(const std::uint64_t made, extend(tenant));
    return key_of_id(made, tenant);
  }
  return key_of_id(current->first_of(tenant)->id, tenant);
}

EnvelopeStatus Envelope::status() const {
  const std::lock_guard lock(mutex_);
  EnvelopeStatus status;
  status.locked = !state_;
  status.cached_keys = cache_->size();
  status.undestroyed_generation = undestroyed_;
  if (state_) {
    status.generation = state_->keystore.generation;
    status.generation_made_ms = state_->keystore.made_ms;
    status.tenant_keys = state_->keystore.keys.size();
  }
  return status;
}

}  // namespace deepmoat::crypto
