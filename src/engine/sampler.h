// Draws tokens from logits, for one choice of one call.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/model.h"
#include "engine/prompt.h"

namespace deepmoat::engine {

// The meaning and the order of the steps are llama-server's: bias, penalties, top-k, top-p, min-p,
// temperature. Penalties look at the answer alone, as OpenAI's do.
struct SamplingOptions {
  float temperature = 1.0F;  // 0: always the most probable token
  float top_p = 1.0F;        // 1: off
  std::int32_t top_k = 0;    // 0: off
  float min_p = 0.0F;        // 0: off
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  float repeat_penalty = 1.0F;  // 1: off
  std::uint64_t seed = 0;
  std::map<Token, float> logit_bias;
  std::optional<std::uint32_t> reasoning_budget;  // tokens of thinking; absent: no limit
  bool logprobs = false;
  std::uint32_t top_logprobs = 0;
};

struct TokenLogprob {
  Token token = 0;
  float logprob = 0;  // natural logarithm
};

struct Drawn {
  Token token = 0;
  bool over = false;  // the format allows no token: the answer ends, and `token` is none of it
  std::optional<TokenLogprob> chosen;  // by what the model says, before bias and temperature
  std::vector<TokenLogprob> top;       // the most probable first
};

// Belongs to one thread at a time; different samplers may draw at once.
class Sampler {
 public:
  // `prompt`: what the answer is held to, and how the model thinks.
  Sampler(const Model& model, const SamplingOptions& options, const Prompt& prompt = {});
  Sampler(Sampler&& other) noexcept;
  Sampler& operator=(Sampler&& other) noexcept;
  ~Sampler();

  // The same options, seed and rows of logits give the same tokens.
  [[nodiscard]] Drawn draw(std::span<const float> logits);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace deepmoat::engine
