// Buckets of failed authentications. Thread-safe: sixteen shards with a lock each.
#include "identity/failure_limiter.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

namespace deepmoat::identity {

namespace {

constexpr std::size_t kShards = 16;
constexpr double kNanosPerMinute = 60e9;

// What counts as one caller. Text that is no address counts as it stands.
std::string subject_of(std::string_view address) {
  const std::string text(address);
  in6_addr six{};
  if (inet_pton(AF_INET6, text.c_str(), &six) != 1) {
    return text;
  }
  if (IN6_IS_ADDR_V4MAPPED(&six)) {  // ::ffff:192.0.2.1 is 192.0.2.1
    std::array<char, INET_ADDRSTRLEN> four{};
    return inet_ntop(AF_INET, &six.s6_addr[12], four.data(), four.size());
  }
  constexpr std::size_t kNetworkBytes = 8;
  return {reinterpret_cast<const char*>(six.s6_addr), kNetworkBytes};
}

struct Bucket {
  std::string subject;
  double failures = 0;  // as of `at_ns`; runs out by itself
  MonoNanos at_ns = 0;
};

struct Shard {
  std::mutex mutex;
  std::list<Bucket> by_age;  // the one that failed last stands first
  std::unordered_map<std::string, std::list<Bucket>::iterator> buckets;
};

}  // namespace

class FailureLimiter::Impl {
 public:
  explicit Impl(FailureLimiterOptions options)
      : per_minute(options.failures_per_minute),
        shard_max(std::max<std::size_t>(1, options.addresses_max / kShards)) {}

  Shard& shard_of(const std::string& subject) {
    return shards[std::hash<std::string>{}(subject) % kShards];
  }

  [[nodiscard]] double level(const Bucket& bucket, MonoNanos now_ns) const {
    const auto passed = static_cast<double>(std::max<MonoNanos>(0, now_ns - bucket.at_ns));
    return std::max(0.0, bucket.failures - passed / kNanosPerMinute * per_minute);
  }

  const double per_minute;
  const std::size_t shard_max;
  std::array<Shard, kShards> shards;
};

FailureLimiter::FailureLimiter(FailureLimiterOptions options)
    : impl_(std::make_unique<Impl>(options)) {}
FailureLimiter::~FailureLimiter() = default;

std::uint32_t FailureLimiter::retry_after_s(std::string_view address, MonoNanos now_ns) const {
  if (impl_->per_minute == 0) {
    return 0;
  }
  const std::string subject = subject_of(address);
  Shard& shard = impl_->shard_of(subject);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.buckets.find(subject);
  if (found == shard.buckets.end()) {
    return 0;
  }
  const double over = impl_->level(*found->second, now_ns) - (impl_->per_minute - 1);
  if (over <= 0) {
    return 0;
  }
  constexpr double kSecondsPerMinute = 60;
  return static_cast<std::uint32_t>(
      std::max(1.0, std::ceil(over / impl_->per_minute * kSecondsPerMinute)));
}

void FailureLimiter::record_failure(std::string_view address, MonoNanos now_ns) {
  if (impl_->per_minute == 0) {
    return;
  }
  std::string subject = subject_of(address);
  Shard& shard = impl_->shard_of(subject);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.buckets.find(subject);
  if (found != shard.buckets.end()) {
    Bucket& bucket = *found->second;
    // Capped, so that a caller who kept on is back after a minute and not after a day.
    bucket.failures = std::min(impl_->level(bucket, now_ns) + 1, impl_->per_minute);
    bucket.at_ns = now_ns;
    shard.by_age.splice(shard.by_age.begin(), shard.by_age, found->second);
    return;
  }
  if (shard.buckets.size() >= impl_->shard_max) {
    shard.buckets.erase(shard.by_age.back().subject);
    shard.by_age.pop_back();
  }
  shard.by_age.push_front({.subject = subject, .failures = 1, .at_ns = now_ns});
  shard.buckets.emplace(std::move(subject), shard.by_age.begin());
}

std::size_t FailureLimiter::addresses() const {
  std::size_t count = 0;
  for (Shard& shard : impl_->shards) {
    const std::lock_guard lock(shard.mutex);
    count += shard.buckets.size();
  }
  return count;
}

}  // namespace deepmoat::identity
