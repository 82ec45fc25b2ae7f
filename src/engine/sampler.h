// Draws tokens from logits, for one choice of one call.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "engine/model.h"

namespace deepmoat::engine {

// The meaning and the order of the steps are llama-server's: bias, penalties, top-k, top-p, min-p,
// temperature.
struct SamplingOptions {
  float temperature = 1.0F;  // 0: always the most probable token
  float top_p = 1.0F;        // 1: off
  std::int32_t top_k = 0;    // 0: off
  float min_p = 0.0F;        // 0: off
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::uint64_t seed = 0;
  std::map<Token, float> logit_bias;
};

// Belongs to one thread at a time; different samplers may draw at once.
class Sampler {
 public:
  Sampler(const Model& model, const SamplingOptions& options);
  Sampler(Sampler&& other) noexcept;
  Sampler& operator=(Sampler&& other) noexcept;
  ~Sampler();

  // The same options, seed and rows of logits give the same tokens.
  [[nodiscard]] Token draw(std::span<const float> logits);

 private:
  struct Chain;
  std::unique_ptr<Chain> chain_;  // null: the most probable token
};

}  // namespace deepmoat::engine
