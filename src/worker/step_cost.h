// What a step costs on this machine, learnt from the steps so far. Not thread-safe.
//
// time = a + b x (rows that continue answers) + c x (rows of prompts), fitted by recursive least
// squares that forgets old steps (Ljung, System Identification, 11.2), so that it follows a
// machine that other programs load, and prompts that become longer.
#pragma once

#include <array>
#include <cstdint>

namespace deepmoat::worker {

class StepCost {
 public:
  void add(std::uint32_t answer_rows, std::uint32_t prompt_rows, double ms);

  [[nodiscard]] double expect_ms(std::uint32_t answer_rows, std::uint32_t prompt_rows) const;

  // Rows of prompts that fit into a step of `target_ms` beside these; 0 when not even one does, or
  // no step with a prompt has been seen (known() is false then).
  [[nodiscard]] std::uint32_t prompt_rows_within(double target_ms, std::uint32_t answer_rows) const;
  [[nodiscard]] bool known() const { return prompts_seen_ >= kPromptsNeeded; }

 private:
  static constexpr std::size_t kTerms = 3;
  static constexpr std::uint32_t kPromptsNeeded = 3;
  using Vector = std::array<double, kTerms>;

  Vector weights_{};
  std::array<Vector, kTerms> spread_{};  // the fit's covariance; zero before the first step
  bool started_ = false;
  std::uint32_t prompts_seen_ = 0;
};

}  // namespace deepmoat::worker
