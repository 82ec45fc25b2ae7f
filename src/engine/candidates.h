// Tokens with their logits, cut down to those that may be drawn. Nothing sorts a whole vocabulary.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model.h"

namespace deepmoat::engine {

[[nodiscard]] float greatest(std::span<const float> logits);
// The first of the most probable ones.
[[nodiscard]] Token most_probable(std::span<const float> logits);

// Sum of exp(logit - best).
[[nodiscard]] double exponential_sum(std::span<const float> logits, float best);

struct TokenLogit {
  Token token = 0;
  float logit = 0;
};

// The `count` most probable ones, in falling order.
[[nodiscard]] std::vector<TokenLogit> top_tokens(std::span<const float> logits, std::size_t count);

// How far below the best one a token may lie to matter at all: the others together have less than
// a 10,000th of the best one's probability.
[[nodiscard]] float range_that_matters(std::size_t vocabulary, float temperature);

struct Cuts {
  std::int32_t top_k = 0;  // 0: off
  float top_p = 1;         // 1: off
  float min_p = 0;         // 0: off
};

class Candidates {
 public:
  // All tokens of at least this logit, by rising number.
  void gather(std::span<const float> logits, float least);
  void assign(std::span<const TokenLogit> tokens);

  // top-k, top-p and min-p at temperature 1, in this order, as llama-server does. Keeps one at
  // least.
  void cut(const Cuts& cuts);

  // `chance`: from 0 to below 1. REQUIRES: not empty, temperature above 0.
  [[nodiscard]] Token draw(float temperature, double chance);

  [[nodiscard]] std::size_t size() const { return tokens_.size(); }
  // The `count` most probable ones come first, in falling order; those after are unordered.
  [[nodiscard]] std::vector<TokenLogit> in_order(std::size_t count) const;

 private:
  void keep_best(std::size_t count);
  void keep_nucleus(float share);
  void keep_if_at_least(float logit);

  std::vector<Token> tokens_;
  std::vector<float> logits_;
  std::vector<float> weights_;  // scratch
};

}  // namespace deepmoat::engine
