// The worker's counters and latency histograms since its start. Decode thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "wire/worker.pb.h"

namespace deepmoat::worker {

class LatencyHistogram {
 public:
  // `bounds_s`: upper ends in seconds, rising.
  explicit LatencyHistogram(std::span<const double> bounds_s);

  void add(MonoNanos spent_ns);
  [[nodiscard]] wire::Histogram to_frame() const;

 private:
  std::vector<double> bounds_s_;
  std::vector<std::uint64_t> counts_;  // one more than bounds
  double sum_s_ = 0;
};

struct Tally {
  Tally();

  std::uint64_t prompt_computed = 0;
  std::uint64_t prompt_cached = 0;
  std::uint64_t generated = 0;
  std::uint64_t refused = 0;
  std::uint64_t stopped = 0;  // choices, by their end
  std::uint64_t cut = 0;
  std::uint64_t cancelled = 0;  // calls
  LatencyHistogram first_token;
  LatencyHistogram inter_token;
  LatencyHistogram queue_time;

  // Fills in all that is counted here.
  void write(wire::Stats& stats) const;
};

}  // namespace deepmoat::worker
