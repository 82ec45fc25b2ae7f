// What the two files of the envelope share: a generation in memory, and keys ready for use.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "crypto/envelope.h"
#include "crypto/envelope_keystore.h"

namespace deepmoat::crypto {

// A keystore and its master key. Immutable once others can see it.
struct Envelope::State {
  Keystore keystore;
  std::shared_ptr<const Secret> master;
  std::map<std::string, std::vector<std::size_t>, std::less<>> of_tenant;  // ids rise

  void index() {
    of_tenant.clear();
    for (std::size_t i = 0; i < keystore.keys.size(); ++i) {
      of_tenant[keystore.keys[i].tenant].push_back(i);
    }
  }

  [[nodiscard]] const SealedTenantKey* find(std::uint64_t id) const {
    const auto found = std::ranges::lower_bound(keystore.keys, id, {}, &SealedTenantKey::id);
    return found != keystore.keys.end() && found->id == id ? &*found : nullptr;
  }

  [[nodiscard]] const SealedTenantKey* first_of(std::string_view tenant) const {
    const auto found = of_tenant.find(tenant);
    return found == of_tenant.end() ? nullptr : &keystore.keys[found->second.front()];
  }

  [[nodiscard]] const SealedTenantKey* newest_of(std::string_view tenant) const {
    const auto found = of_tenant.find(tenant);
    return found == of_tenant.end() ? nullptr : &keystore.keys[found->second.back()];
  }
};

// A tenant key ready for use. The last who holds it wipes it.
struct Envelope::TenantKey {
  std::uint64_t id = 0;
  AeadAlgorithm algorithm = AeadAlgorithm::aes_256_gcm;
  Secret material;
  std::mutex mutex;  // of `aead`
  std::unique_ptr<Aead> aead;
};

// The least recently used key goes. The caller holds the envelope's mutex.
class Envelope::KeyCache {
 public:
  explicit KeyCache(std::size_t keys_max) : keys_max_(std::max<std::size_t>(keys_max, 1)) {}

  [[nodiscard]] KeyPtr get(std::uint64_t id) {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) {
      return nullptr;
    }
    order_.splice(order_.begin(), order_, found->second);
    return *found->second;
  }

  void put(const KeyPtr& key) {
    erase(key->id);
    order_.push_front(key);
    by_id_[key->id] = order_.begin();
    if (order_.size() > keys_max_) {
      by_id_.erase(order_.back()->id);
      order_.pop_back();
    }
  }

  void erase(std::uint64_t id) {
    if (const auto found = by_id_.find(id); found != by_id_.end()) {
      order_.erase(found->second);
      by_id_.erase(found);
    }
  }

  template <class Predicate>
  void erase_unless(const Predicate& stays) {
    std::vector<std::uint64_t> gone;
    for (const KeyPtr& key : order_) {
      if (!stays(key->id)) {
        gone.push_back(key->id);
      }
    }
    for (const std::uint64_t id : gone) {
      erase(id);
    }
  }

  [[nodiscard]] std::size_t size() const { return order_.size(); }

 private:
  std::size_t keys_max_;
  std::list<KeyPtr> order_;  // most recently used first
  std::unordered_map<std::uint64_t, std::list<KeyPtr>::iterator> by_id_;
};

}  // namespace deepmoat::crypto
