#include "scheduler/pace.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace deepmoat::scheduler {

namespace {

constexpr double kMemoryMs = 20'000;          // older speed fades away
constexpr std::uint64_t kStepMsMax = 60'000;  // longer: the machine slept, or the clock jumped
constexpr double kRateAfterMs = 20;           // a shorter time tells nothing
constexpr double kSmoothing = 0.05;
constexpr double kLikelyAnswer = 256;  // before any answer has ended

}  // namespace

void Pace::note(std::uint64_t now_ms, double work) {
  const std::uint64_t before_ms = std::exchange(last_ms_, now_ms);
  if (work <= 0 || now_ms < before_ms || now_ms - before_ms > kStepMsMax) {
    return;
  }
  work_ += work;
  ms_ += static_cast<double>(now_ms - before_ms);
  if (ms_ > kMemoryMs) {
    work_ /= 2;
    ms_ /= 2;
  }
}

void Pace::note_answer(std::uint32_t tokens) {
  answer_tokens_ = answered_ ? answer_tokens_ + kSmoothing * (tokens - answer_tokens_) : tokens;
  answered_ = true;
}

std::uint64_t Pace::ms_for(double work) const {
  if (ms_ < kRateAfterMs || work_ <= 0) {
    return 0;
  }
  return static_cast<std::uint64_t>(std::ceil(work * ms_ / work_));
}

double Pace::likely_answer(std::uint32_t max) const {
  return std::min<double>(max, answered_ ? answer_tokens_ : kLikelyAnswer);
}

}  // namespace deepmoat::scheduler
