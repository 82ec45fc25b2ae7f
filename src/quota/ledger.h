// Admission and account: reserve() before a call runs, settle() when it has ended. In memory.
// Thread-safe, with a lock a shard of keys and one atomic for all calls.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/strong.h"

namespace deepmoat::quota {

// 0 = no limit.
struct Limits {
  std::uint32_t requests_per_minute = 0;  // a key; a bucket that holds one minute's worth
  // A key, prompt and answer together; a bucket of one minute's worth. How many a call takes is
  // known when it has ended: one that begins while any are left is served to its end, and what it
  // took beyond them is worked off before the next.
  std::uint32_t tokens_per_minute = 0;
  std::uint32_t calls_of_key_max = 0;  // at once, a key
  std::uint32_t calls_max = 0;         // at once, all keys together
};

enum class QuotaRefusalKind : std::uint8_t {
  requests_per_minute,
  tokens_per_minute,
  calls_of_key,
  calls_total,
};

struct QuotaRefusal {
  QuotaRefusalKind kind = QuotaRefusalKind::requests_per_minute;
  std::uint32_t retry_after_s = 1;
  std::uint32_t limit = 0;
  std::uint32_t remaining = 0;
};

// "rate_limit_exceeded" or "concurrency_limit_exceeded": the error code of the 429.
[[nodiscard]] std::string_view refusal_code(QuotaRefusalKind kind);

struct KeyUsage {
  KeyId key_id;
  TenantId tenant;
  std::uint64_t requests = 0;  // settled
  std::uint64_t refused = 0;
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_out = 0;
  std::uint32_t running = 0;  // reserved and not yet settled
};

// What a key has of a limit; for the x-ratelimit-* headers. `limit` 0 = no limit.
struct Allowance {
  std::uint32_t limit = 0;
  std::uint32_t remaining = 0;
  std::uint32_t reset_s = 0;  // until all are there again
};

class Ledger;

// The right to run one call. Move-only; dropping it gives the place back without an account of
// tokens (a call that failed). Must not outlive its ledger.
class Reservation {
 public:
  Reservation() = default;
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();

  [[nodiscard]] bool held() const { return ledger_ != nullptr; }
  [[nodiscard]] const Allowance& requests() const { return requests_; }
  [[nodiscard]] const Allowance& tokens() const { return tokens_; }

 private:
  friend class Ledger;
  void release() noexcept;

  Ledger* ledger_ = nullptr;
  void* account_ = nullptr;  // Ledger's own, stable for the ledger's life
  Allowance requests_;
  Allowance tokens_;
};

class Ledger {
 public:
  explicit Ledger(Limits limits = {});
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Admits one call now, or says which limit is full. Concurrency is asked first, so that a call
  // refused for it costs nothing of the minute's worth. `own`: the key's own limits; of each, the
  // lower of it and the ledger's counts (calls_max is the ledger's alone).
  [[nodiscard]] std::expected<Reservation, QuotaRefusal> reserve(const KeyId& key_id,
                                                                 const TenantId& tenant,
                                                                 MonoNanos now_ns,
                                                                 const Limits& own = {});

  // Accounts a finished call and gives its place back.
  void settle(Reservation reservation, std::uint64_t tokens_in, std::uint64_t tokens_out);

  // From the next reserve() on; for a reload of the configuration.
  void set_limits(Limits limits);

  [[nodiscard]] KeyUsage usage_of(const KeyId& key_id) const;
  [[nodiscard]] std::vector<KeyUsage> usage() const;  // sorted by key id
  [[nodiscard]] std::uint32_t running() const;        // calls of all keys

 private:
  friend class Reservation;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepmoat::quota
