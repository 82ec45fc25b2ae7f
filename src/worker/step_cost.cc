#include "worker/step_cost.h"

#include <algorithm>
#include <cmath>

namespace deepmoat::worker {

namespace {

constexpr double kForget = 0.97;      // the weight of the last step against this one
constexpr double kSpreadFirst = 1e4;  // nothing is known
constexpr double kSpreadMax = 1e6;    // a term that no step shows must not grow without end
constexpr double kOutlier = 4;        // times what was expected: the machine did something else
constexpr double kRowsScale = 64;     // keeps the terms of one size
constexpr std::uint32_t kRowsMax = 65536;

}  // namespace

void StepCost::add(std::uint32_t answer_rows, std::uint32_t prompt_rows, double ms) {
  if (ms <= 0 || answer_rows + prompt_rows == 0) {
    return;
  }
  if (!started_) {
    started_ = true;
    for (std::size_t i = 0; i < kTerms; ++i) {
      spread_[i][i] = kSpreadFirst;
    }
  }
  if (known()) {
    ms = std::min(ms, kOutlier * std::max(expect_ms(answer_rows, prompt_rows), 1.0));
  }
  prompts_seen_ += prompt_rows > 0 && !known() ? 1 : 0;
  const Vector terms{1, answer_rows / kRowsScale, prompt_rows / kRowsScale};
  Vector gain{};
  double scale = kForget;
  for (std::size_t i = 0; i < kTerms; ++i) {
    for (std::size_t j = 0; j < kTerms; ++j) {
      gain[i] += spread_[i][j] * terms[j];
    }
    scale += terms[i] * gain[i];
  }
  double expected = 0;
  for (std::size_t i = 0; i < kTerms; ++i) {
    expected += weights_[i] * terms[i];
  }
  for (std::size_t i = 0; i < kTerms; ++i) {
    weights_[i] += gain[i] / scale * (ms - expected);
    for (std::size_t j = 0; j <= i; ++j) {
      const double value = (spread_[i][j] - gain[i] * gain[j] / scale) / kForget;
      spread_[i][j] = spread_[j][i] = std::clamp(value, -kSpreadMax, kSpreadMax);
    }
  }
}

double StepCost::expect_ms(std::uint32_t answer_rows, std::uint32_t prompt_rows) const {
  return std::max(weights_[0], 0.0) + std::max(weights_[1], 0.0) * answer_rows / kRowsScale +
         std::max(weights_[2], 0.0) * prompt_rows / kRowsScale;
}

std::uint32_t StepCost::prompt_rows_within(double target_ms, std::uint32_t answer_rows) const {
  const double left = target_ms - expect_ms(answer_rows, 0);
  if (!known() || left <= 0) {
    return 0;
  }
  const double each = std::max(weights_[2], 0.0) / kRowsScale;
  return each * kRowsMax <= left ? kRowsMax : static_cast<std::uint32_t>(left / each);
}

}  // namespace deepmoat::worker
