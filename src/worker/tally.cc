#include "worker/tally.h"

#include <algorithm>

namespace deepmoat::worker {

namespace {

// Every second to fourth of vLLM's bounds, so that its dashboards show the same shape.
constexpr std::array kFirstTokenS = {0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64,
                                     1.25,  2.5,  5.0,  10.0, 20.0, 40.0, 80.0, 160.0};
constexpr std::array kInterTokenS = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                     0.3,   0.4,  0.5,   0.75, 1.0,   2.5, 5.0,  10.0};
constexpr std::array kQueueS = {0.005, 0.01, 0.05, 0.1,  0.3,  0.5,  0.8,   1.5,
                                2.5,   5.0,  10.0, 20.0, 40.0, 60.0, 120.0, 240.0};

}  // namespace

LatencyHistogram::LatencyHistogram(std::span<const double> bounds_s)
    : bounds_s_(bounds_s.begin(), bounds_s.end()), counts_(bounds_s.size() + 1) {}

void LatencyHistogram::add(MonoNanos spent_ns) {
  const double spent_s = static_cast<double>(spent_ns) / 1e9;
  const auto bucket = std::ranges::lower_bound(bounds_s_, spent_s) - bounds_s_.begin();
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_s_ += spent_s;
}

wire::Histogram LatencyHistogram::to_frame() const {
  wire::Histogram frame;
  frame.mutable_bounds()->Add(bounds_s_.begin(), bounds_s_.end());
  frame.mutable_counts()->Add(counts_.begin(), counts_.end());
  frame.set_sum_s(sum_s_);
  return frame;
}

Tally::Tally() : first_token(kFirstTokenS), inter_token(kInterTokenS), queue_time(kQueueS) {}

void Tally::write(wire::Stats& stats) const {
  stats.set_prompt_tokens_computed(prompt_computed);
  stats.set_prompt_tokens_cached(prompt_cached);
  stats.set_tokens_generated(generated);
  stats.set_refused(refused);
  stats.set_finished_stop(stopped);
  stats.set_finished_length(cut);
  stats.set_finished_cancelled(cancelled);
  *stats.mutable_first_token() = first_token.to_frame();
  *stats.mutable_inter_token() = inter_token.to_frame();
  *stats.mutable_queue_time() = queue_time.to_frame();
}

}  // namespace deepmoat::worker
