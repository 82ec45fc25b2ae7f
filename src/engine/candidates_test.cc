#include "engine/candidates.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace deepmoat::engine {
namespace {

std::vector<float> some_logits(std::size_t count, std::uint32_t seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> logits(count);
  std::ranges::generate(logits, [&] { return normal(random); });
  return logits;
}

std::vector<Token> by_probability(const std::vector<float>& logits) {
  std::vector<Token> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](Token a, Token b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  return order;
}

std::vector<Token> kept(const std::vector<float>& logits, const Cuts& cuts) {
  Candidates candidates;
  candidates.gather(logits, -INFINITY);
  candidates.cut(cuts);
  std::vector<Token> tokens;
  for (const TokenLogit& one : candidates.in_order(candidates.size())) {
    tokens.push_back(one.token);
  }
  return tokens;
}

TEST(Candidates, TheGreatestIsFound) {
  EXPECT_TRUE(rc::check("as by a plain search", [] {
    const auto logits = some_logits(*rc::gen::inRange<std::size_t>(1, 200),
                                    *rc::gen::arbitrary<std::uint32_t>(), 3);
    RC_ASSERT(greatest(logits) == *std::ranges::max_element(logits));
    RC_ASSERT(most_probable(logits) == by_probability(logits)[0]);
  }));
}

TEST(Candidates, SumsAsTheLibraryDoes) {
  for (const float spread : {0.1F, 3.0F, 30.0F}) {
    const auto logits = some_logits(5000, 1, spread);
    const float best = greatest(logits);
    double sum = 0;
    for (const float logit : logits) {
      sum += std::exp(static_cast<double>(logit - best));
    }
    EXPECT_NEAR(exponential_sum(logits, best) / sum, 1.0, 1e-5) << spread;
  }
}

TEST(Candidates, TopPAgreesWithSorting) {
  EXPECT_TRUE(rc::check("the fewest tokens with that share", [] {
    const auto logits =
        some_logits(*rc::gen::inRange<std::size_t>(1, 3000), *rc::gen::arbitrary<std::uint32_t>(),
                    static_cast<float>(*rc::gen::inRange(1, 80)) / 10);
    const float share = static_cast<float>(*rc::gen::inRange(1, 100)) / 100;
    const std::vector<Token> order = by_probability(logits);
    const float best = greatest(logits);
    double all = 0;
    for (const float logit : logits) {
      all += std::exp(static_cast<double>(logit - best));
    }
    std::size_t count = 0;
    double sum = 0;
    while (count < order.size() && sum < all * static_cast<double>(share)) {
      sum += std::exp(static_cast<double>(logits[static_cast<std::size_t>(order[count++])] - best));
    }
    const std::vector<Token> tokens = kept(logits, {.top_p = share});
    // The last token may go either way by rounding.
    RC_ASSERT(std::max(tokens.size(), count) - std::min(tokens.size(), count) <= 1);
    RC_ASSERT(std::equal(tokens.begin(), tokens.end(), order.begin()));
  }));
}

TEST(Candidates, TopKAndMinPAgreeWithSorting) {
  const auto logits = some_logits(4000, 7, 3);
  const std::vector<Token> order = by_probability(logits);
  const std::vector<Token> best_40 = kept(logits, {.top_k = 40});
  EXPECT_TRUE(std::ranges::equal(best_40, std::span(order).first(40)));
  const auto near = kept(logits, {.min_p = 0.1F});
  const auto expected = std::ranges::count_if(
      logits, [&](float logit) { return logit >= greatest(logits) + std::log(0.1F); });
  EXPECT_EQ(near.size(), static_cast<std::size_t>(expected));
  const std::vector<TokenLogit> top = top_tokens(logits, 5);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(top[i].token, order[i]);
  }
}

TEST(Candidates, DrawsByProbability) {
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  Candidates candidates;
  candidates.gather(logits, -INFINITY);
  EXPECT_EQ(candidates.draw(1, 0.0), 0);
  EXPECT_EQ(candidates.draw(1, 0.49), 0);
  EXPECT_EQ(candidates.draw(1, 0.51), 1);
  EXPECT_EQ(candidates.draw(1, 0.79), 1);
  EXPECT_EQ(candidates.draw(1, 0.81), 2);
  EXPECT_EQ(candidates.draw(1, 0.999999), 2);
  EXPECT_EQ(candidates.draw(0.01F, 0.99), 0) << "a low temperature sharpens";
}

TEST(Candidates, WhatIsLeftOutDoesNotMatter) {
  const auto logits = some_logits(50'000, 3, 4);
  const float best = greatest(logits);
  double all = exponential_sum(logits, best);
  double left_out = 0;
  for (const float logit : logits) {
    left_out += logit < best - range_that_matters(logits.size(), 1)
                    ? std::exp(static_cast<double>(logit - best))
                    : 0;
  }
  EXPECT_LT(left_out / all, 1e-4);
}

}  // namespace
}  // namespace deepmoat::engine
