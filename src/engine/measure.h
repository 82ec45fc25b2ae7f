// How fast a loaded model is on this machine, and how well it predicts a text.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/clock.h"
#include "base/result.h"
#include "engine/model.h"

namespace deepmoat::engine {

struct Speed {
  double prompt_tokens_s = 0;  // of a batch of `prompt_tokens`
  double output_tokens_s = 0;  // one caller, behind that prompt
};

// The best of `rounds`: what the machine can do, whatever its other work took from a round.
// REQUIRES: task generate; the model's memory is empty and holds prompt + output tokens; tokens is
// not empty (it is repeated as needed).
[[nodiscard]] Result<Speed> measure_speed(Model& model, std::span<const Token> tokens,
                                          std::uint32_t prompt_tokens, std::uint32_t output_tokens,
                                          std::uint32_t rounds, const Clock& clock);

struct Perplexity {
  double value = 0;          // exp of the mean surprise of a token
  std::uint32_t tokens = 0;  // that were predicted
};

// The text is cut into windows; in each the first tokens are only read. Lower is better; only
// values of one text and one vocabulary compare. REQUIRES: as above.
[[nodiscard]] Result<Perplexity> measure_perplexity(Model& model, std::span<const Token> tokens,
                                                    const std::function<void(float)>& progress);

}  // namespace deepmoat::engine
