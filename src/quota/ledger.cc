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

std::uint32_t whole_seconds(double seconds) {
  constexpr double kMost = 1e9;
  return static_cast<std::uint32_t>(std::ceil(std::clamp(seconds, 0.0, kMost)));
}

// One minute's worth of something that runs in by itself.
struct Bucket {
  bool begun = false;  // it is full at its first use
  double level = 0;    // as of `at_ns`; below 0: more was taken than there was
  MonoNanos at_ns = 0;

  void refill(std::uint32_t per_minute, MonoNanos now_ns) {
    const double full = per_minute;
    if (!begun) {
      begun = true;
      level = full;
    } else {
      const auto passed = static_cast<double>(std::max<MonoNanos>(0, now_ns - at_ns));
      level += passed / kNanosPerSecond * full / kSecondsPerMinute;
    }
    level = std::min(level, full);
    at_ns = std::max(at_ns, now_ns);
  }

  [[nodiscard]] std::uint32_t wait_s(std::uint32_t per_minute) const {
    return std::max(1U, whole_seconds((1 - level) * kSecondsPerMinute / per_minute));
  }

  [[nodiscard]] Allowance allowance(std::uint32_t per_minute) const {
    return {.limit = per_minute,
            .remaining = static_cast<std::uint32_t>(std::max(level, 0.0)),
            .reset_s = whole_seconds((per_minute - level) * kSecondsPerMinute / per_minute)};
  }
};

// Of two limits of which 0 is none, the lower.
std::uint32_t lower(std::uint32_t one, std::uint32_t other) {
  return one == 0 || other == 0 ? std::max(one, other) : std::min(one, other);
}

}  // namespace

std::string_view refusal_code(QuotaRefusalKind kind) {
  switch (kind) {
    case QuotaRefusalKind::requests_per_minute:
    case QuotaRefusalKind::tokens_per_minute:
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
    Bucket requests;
    Bucket tokens;
  };

  struct Shard {
    std::mutex mutex;
    std::unordered_map<KeyId, Account> accounts;  // its nodes do not move
  };

  Shard& shard_of(const KeyId& key_id) { return shards[std::hash<KeyId>{}(key_id) % kShards]; }

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
  std::atomic<std::uint32_t> tokens_per_minute = 0;
  std::atomic<std::uint32_t> calls_of_key_max = 0;
  std::atomic<std::uint32_t> calls_max = 0;
};

Reservation::Reservation(Reservation&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)),
      account_(std::exchange(other.account_, nullptr)),
      requests_(other.requests_),
      tokens_(other.tokens_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    release();
    ledger_ = std::exchange(other.ledger_, nullptr);
    account_ = std::exchange(other.account_, nullptr);
    requests_ = other.requests_;
    tokens_ = other.tokens_;
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
  impl_->tokens_per_minute.store(limits.tokens_per_minute, std::memory_order_relaxed);
  impl_->calls_of_key_max.store(limits.calls_of_key_max, std::memory_order_relaxed);
  impl_->calls_max.store(limits.calls_max, std::memory_order_relaxed);
}

std::expected<Reservation, QuotaRefusal> Ledger::reserve(const KeyId& key_id,
                                                         const TenantId& tenant, MonoNanos now_ns,
                                                         const Limits& own) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const std::uint32_t requests_max =
      lower(impl_->requests_per_minute.load(kRelaxed), own.requests_per_minute);
  const std::uint32_t tokens_max =
      lower(impl_->tokens_per_minute.load(kRelaxed), own.tokens_per_minute);
  const std::uint32_t of_key_max =
      lower(impl_->calls_of_key_max.load(kRelaxed), own.calls_of_key_max);
  const std::uint32_t calls_max = impl_->calls_max.load(kRelaxed);
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
  if (requests_max != 0) {
    account.requests.refill(requests_max, now_ns);
    if (account.requests.level < 1) {
      return refuse({QuotaRefusalKind::requests_per_minute, account.requests.wait_s(requests_max),
                     requests_max, 0});
    }
  }
  if (tokens_max != 0) {
    account.tokens.refill(tokens_max, now_ns);
    if (account.tokens.level < 1) {
      return refuse(
          {QuotaRefusalKind::tokens_per_minute, account.tokens.wait_s(tokens_max), tokens_max, 0});
    }
  }
  if (!impl_->take_place(calls_max)) {
    return refuse({QuotaRefusalKind::calls_total, kPlaceRetryS, calls_max, 0});
  }
  Reservation reservation;
  if (requests_max != 0) {
    account.requests.level -= 1;
    reservation.requests_ = account.requests.allowance(requests_max);
  }
  if (tokens_max != 0) {
    reservation.tokens_ = account.tokens.allowance(tokens_max);
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
    if (reservation.tokens_.limit != 0) {  // else what was used freely would be a debt later
      account.tokens.level -= static_cast<double>(tokens_in) + static_cast<double>(tokens_out);
    }
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
