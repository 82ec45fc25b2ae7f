// Places, buckets and counts of every key. Thread-safe; see the header.
#include "quota/ledger.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace deepmoat::quota {

namespace {

constexpr std::size_t kShards = 16;
constexpr double kSecondsPerMinute = 60;
constexpr double kNanosPerSecond = 1e9;
// A place frees itself when a call ends; nobody knows when, so ask again soon.
constexpr std::uint32_t kPlaceRetryS = 1;

}  // namespace

std::string_view refusal_code(QuotaRefusalKind kind) {
  switch (kind) {
    case QuotaRefusalKind::requests_per_minute:
      return "rate_limit_exceeded";
    case QuotaRefusalKind::calls_of_key:
    case QuotaRefusalKind::calls_total:
      return "concurrency_limit_exceeded";
  }
  return "rate_limit_exceeded";
}

class Ledger::Impl {
 public:
  struct Shard;

  // Of one key; guarded by its shard's lock. Keys are few and end with the process, so an
  // account, once opened, stays where it is.
  struct Account {
    Shard* shard = nullptr;
    KeyUsage usage;
    bool begun = false;   // the bucket is full at the first call
    double requests = 0;  // left in the bucket at `at_ns`
    MonoNanos at_ns = 0;
  };

  struct Shard {
    std::mutex mutex;
    std::unordered_map<KeyId, Account> accounts;  // its nodes do not move
  };

  Shard& shard_of(const KeyId& key_id) { return shards[std::hash<KeyId>{}(key_id) % kShards]; }

  static void refill(Account& account, std::uint32_t per_minute, MonoNanos now_ns) {
    const double full = per_minute;
    if (!account.begun) {
      account.begun = true;
      account.requests = full;
    } else {
      const auto passed = static_cast<double>(std::max<MonoNanos>(0, now_ns - account.at_ns));
      account.requests += passed / kNanosPerSecond * full / kSecondsPerMinute;
    }
    account.requests = std::min(account.requests, full);
    account.at_ns = std::max(account.at_ns, now_ns);
  }

  // Takes a place among all calls; false when there is none.
  bool take_place(std::uint32_t places) {
    std::uint32_t now = running.load(std::memory_order_relaxed);
    do {
      if (places != 0 && now >= places) {
        return false;
      }
    } while (!running.compare_exchange_weak(now, now + 1, std::memory_order_relaxed));
    return true;
  }

  std::array<Shard, kShards> shards;
  std::atomic<std::uint32_t> running = 0;
  std::atomic<std::uint32_t> requests_per_minute = 0;
  std::atomic<std::uint32_t> calls_of_key_max = 0;
  std::atomic<std::uint32_t> calls_max = 0;
};

Reservation::Reservation(Reservation&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)),
      account_(std::exchange(other.account_, nullptr)),
      limit_(other.limit_),
      remaining_(other.remaining_),
      reset_s_(other.reset_s_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    release();
    ledger_ = std::exchange(other.ledger_, nullptr);
    account_ = std::exchange(other.account_, nullptr);
    limit_ = other.limit_;
    remaining_ = other.remaining_;
    reset_s_ = other.reset_s_;
  }
  return *this;
}

Reservation::~Reservation() {
  release();
}

void Reservation::release() noexcept {
  if (ledger_ == nullptr) {
    return;
  }
  auto& account = *static_cast<Ledger::Impl::Account*>(account_);
  {
    const std::lock_guard lock(account.shard->mutex);
    --account.usage.running;
  }
  ledger_->impl_->running.fetch_sub(1, std::memory_order_relaxed);
  ledger_ = nullptr;
  account_ = nullptr;
}

Ledger::Ledger(Limits limits) : impl_(std::make_unique<Impl>()) {
  set_limits(limits);
}
Ledger::~Ledger() = default;

void Ledger::set_limits(Limits limits) {
  impl_->requests_per_minute.store(limits.requests_per_minute, std::memory_order_relaxed);
  impl_->calls_of_key_max.store(limits.calls_of_key_max, std::memory_order_relaxed);
  impl_->calls_max.store(limits.calls_max, std::memory_order_relaxed);
}

std::expected<Reservation, QuotaRefusal> Ledger::reserve(const KeyId& key_id,
                                                         const TenantId& tenant, MonoNanos now_ns) {
  const std::uint32_t per_minute = impl_->requests_per_minute.load(std::memory_order_relaxed);
  const std::uint32_t of_key_max = impl_->calls_of_key_max.load(std::memory_order_relaxed);
  const std::uint32_t calls_max = impl_->calls_max.load(std::memory_order_relaxed);
  Impl::Shard& shard = impl_->shard_of(key_id);
  const std::lock_guard lock(shard.mutex);
  Impl::Account& account = shard.accounts[key_id];
  if (account.shard == nullptr) {
    account.shard = &shard;
    account.usage.key_id = key_id;
    account.usage.tenant = tenant;
  }
  const auto refuse = [&](QuotaRefusal refusal) {
    ++account.usage.refused;
    return std::unexpected(refusal);
  };
  if (of_key_max != 0 && account.usage.running >= of_key_max) {
    return refuse({QuotaRefusalKind::calls_of_key, kPlaceRetryS, of_key_max, 0});
  }
  Reservation reservation;
  if (per_minute != 0) {
    Impl::refill(account, per_minute, now_ns);
    if (account.requests < 1) {
      const double wait_s = (1 - account.requests) * kSecondsPerMinute / per_minute;
      return refuse({QuotaRefusalKind::requests_per_minute,
                     static_cast<std::uint32_t>(std::max(1.0, std::ceil(wait_s))), per_minute, 0});
    }
  }
  if (!impl_->take_place(calls_max)) {
    return refuse({QuotaRefusalKind::calls_total, kPlaceRetryS, calls_max, 0});
  }
  if (per_minute != 0) {
    account.requests -= 1;
    reservation.limit_ = per_minute;
    reservation.remaining_ = static_cast<std::uint32_t>(account.requests);
    reservation.reset_s_ = static_cast<std::uint32_t>(
        std::ceil((per_minute - account.requests) * kSecondsPerMinute / per_minute));
  }
  ++account.usage.running;
  reservation.ledger_ = this;
  reservation.account_ = &account;
  return reservation;
}

void Ledger::settle(Reservation reservation, std::uint64_t tokens_in, std::uint64_t tokens_out) {
  if (!reservation.held()) {
    return;
  }
  auto& account = *static_cast<Impl::Account*>(reservation.account_);
  {
    const std::lock_guard lock(account.shard->mutex);
    ++account.usage.requests;
    account.usage.tokens_in += tokens_in;
    account.usage.tokens_out += tokens_out;
  }
  reservation.release();  // takes the lock itself
}

KeyUsage Ledger::usage_of(const KeyId& key_id) const {
  Impl::Shard& shard = impl_->shard_of(key_id);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.accounts.find(key_id);
  if (found == shard.accounts.end()) {
    KeyUsage none;
    none.key_id = key_id;
    return none;
  }
  return found->second.usage;
}

std::vector<KeyUsage> Ledger::usage() const {
  std::vector<KeyUsage> all;
  for (Impl::Shard& shard : impl_->shards) {
    const std::lock_guard lock(shard.mutex);
    for (const auto& [key_id, account] : shard.accounts) {
      all.push_back(account.usage);
    }
  }
  std::ranges::sort(all, {}, &KeyUsage::key_id);
  return all;
}

std::uint32_t Ledger::running() const {
  return impl_->running.load(std::memory_order_relaxed);
}

}  // namespace deepmoat::quota
