// GET /metrics: what the gateway counts itself, and what each worker says of itself.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "gateway/responder.h"
#include "gateway/routes.h"

namespace deepmoat::gateway {

struct Services;
struct ReceivedCall;

// Counts ended calls. No tenant, key or address is in any label. Thread-safe.
class Metrics {
 public:
  // `route` null: a request that has none. `code`: of the error; empty: none.
  void count(const Route* route, int status, std::string_view code, MonoNanos took_ns);

  static constexpr std::size_t kRoutes = 128;   // at least as many as handlers, and one
  static constexpr std::size_t kCodesMax = 64;  // different ones; further ones count as "other"
  static constexpr std::array kBoundsS = {0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0};
  static constexpr std::size_t kStatusClasses = 5;  // 1xx to 5xx

  struct Counts {
    std::array<std::atomic<std::uint64_t>, kStatusClasses> by_class{};
    std::array<std::atomic<std::uint64_t>, kBoundsS.size() + 1> durations{};
    std::atomic<std::uint64_t> total_us = 0;
  };
  // By handler; the last one is of requests without a route.
  [[nodiscard]] const std::array<Counts, kRoutes>& routes() const { return routes_; }
  [[nodiscard]] std::map<std::string, std::uint64_t> refused() const;

 private:
  std::array<Counts, kRoutes> routes_{};
  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t, std::less<>> refused_;
};

// The configuration lets this peer read /metrics without a key.
[[nodiscard]] bool metrics_open_to(const ReceivedCall& call, const Services& services);

[[nodiscard]] Response answer_metrics(const Services& services);

}  // namespace deepmoat::gateway
