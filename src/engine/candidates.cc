#include "engine/candidates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

namespace deepmoat::engine {

namespace {

constexpr std::size_t kLanes = 16;      // of vector instructions
constexpr std::size_t kBuckets = 1024;  // of logits, to find the nucleus without sorting
constexpr float kDroppedShare = 1e-4F;

// exp(x) for x <= 0, to 3 parts in 10 million. Branchless, so that loops become vector code.
inline float exponential(float x) {
  constexpr float kLog2E = 1.44269504F;
  const float t = std::max(x, -87.0F) * kLog2E;
  const auto whole = static_cast<std::int32_t>(t - 0.5F);
  const float f = (t - static_cast<float>(whole)) * 0.69314718F;
  const float e =
      1.0F +
      f * (1.0F + f * (0.5F + f * (0.16666667F +
                                   f * (0.041666667F + f * (0.0083333333F + f * 0.0013888889F)))));
  return e * std::bit_cast<float>((whole + 127) << 23);
}

bool before(const TokenLogit& a, const TokenLogit& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

}  // namespace

float greatest(std::span<const float> logits) {
  std::array<float, kLanes> best;
  best.fill(-INFINITY);
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      best[lane] = logits[i + lane] > best[lane] ? logits[i + lane] : best[lane];
    }
  }
  for (; i < logits.size(); ++i) {
    best[0] = logits[i] > best[0] ? logits[i] : best[0];
  }
  return *std::ranges::max_element(best);
}

Token most_probable(std::span<const float> logits) {
  // Two passes: the first one is vector code, and finding the place costs half a pass on average.
  const auto found = std::ranges::find(logits, greatest(logits));
  return found == logits.end() ? 0 : static_cast<Token>(found - logits.begin());
}

double exponential_sum(std::span<const float> logits, float best) {
  std::array<float, kLanes> sums{};
  double sum = 0;
  std::size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += exponential(logits[i + lane] - best);
    }
  }
  for (; i < logits.size(); ++i) {
    sum += static_cast<double>(exponential(logits[i] - best));
  }
  return std::accumulate(sums.begin(), sums.end(), sum);
}

std::vector<TokenLogit> top_tokens(std::span<const float> logits, std::size_t count) {
  std::vector<TokenLogit> top;  // falling
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const TokenLogit one{static_cast<Token>(i), logits[i]};
    if (top.size() == count && !before(one, top.back())) {
      continue;
    }
    top.insert(std::ranges::upper_bound(top, one, before), one);
    if (top.size() > count) {
      top.pop_back();
    }
  }
  return top;
}

float range_that_matters(std::size_t vocabulary, float temperature) {
  const float range =
      std::log(static_cast<float>(std::max<std::size_t>(vocabulary, 2)) / kDroppedShare);
  return range * std::max(temperature, 1.0F);
}

void Candidates::gather(std::span<const float> logits, float least) {
  tokens_.resize(logits.size());
  logits_.resize(logits.size());
  std::size_t kept = 0;  // written always and counted if kept: no branch to mispredict
  for (std::size_t i = 0; i < logits.size(); ++i) {
    tokens_[kept] = static_cast<Token>(i);
    logits_[kept] = logits[i];
    kept += logits[i] >= least ? 1 : 0;
  }
  tokens_.resize(kept);
  logits_.resize(kept);
}

void Candidates::assign(std::span<const TokenLogit> tokens) {
  tokens_.clear();
  logits_.clear();
  for (const TokenLogit& one : tokens) {
    tokens_.push_back(one.token);
    logits_.push_back(one.logit);
  }
}

std::vector<TokenLogit> Candidates::in_order(std::size_t count) const {
  std::vector<TokenLogit> all(tokens_.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = {tokens_[i], logits_[i]};
  }
  if (count < all.size()) {
    std::ranges::nth_element(all, all.begin() + static_cast<std::ptrdiff_t>(count), before);
  }
  std::ranges::sort(all.begin(),
                    all.begin() + static_cast<std::ptrdiff_t>(std::min(count, all.size())), before);
  return all;
}

void Candidates::keep_best(std::size_t count) {
  if (count < tokens_.size()) {
    std::vector<TokenLogit> all = in_order(count);
    all.resize(count);
    assign(all);
  }
}

// The fewest tokens that have this share of the probability together. Buckets of logits say where
// the cut lies; only the tokens of one bucket are sorted.
void Candidates::keep_nucleus(float share) {
  const float best = greatest(logits_);
  const float range = std::max(best - *std::ranges::min_element(logits_), 1e-6F);
  const float scale = static_cast<float>(kBuckets - 1) / range;
  std::array<double, kBuckets> mass{};
  double all = 0;
  weights_.resize(logits_.size());
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    weights_[i] = exponential(logits_[i] - best);
  }
  const auto bucket_of = [&](std::size_t i) {
    return static_cast<std::size_t>((best - logits_[i]) * scale);
  };
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    mass[bucket_of(i)] += static_cast<double>(weights_[i]);
    all += static_cast<double>(weights_[i]);
  }
  double missing = all * static_cast<double>(share);
  std::size_t last = 0;
  for (; last + 1 < kBuckets && mass[last] < missing; ++last) {
    missing -= mass[last];
  }
  std::vector<TokenLogit> kept;
  std::vector<TokenLogit> edge;
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    const std::size_t bucket = bucket_of(i);
    if (bucket <= last) {
      (bucket < last ? kept : edge).push_back({tokens_[i], logits_[i]});
    }
  }
  std::ranges::sort(edge, before);
  for (const TokenLogit& one : edge) {
    if (missing <= 0 && !kept.empty()) {
      break;
    }
    kept.push_back(one);
    missing -= static_cast<double>(exponential(one.logit - best));
  }
  assign(kept);
}

void Candidates::keep_if_at_least(float logit) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (logits_[i] >= logit) {
      tokens_[kept] = tokens_[i];
      logits_[kept++] = logits_[i];
    }
  }
  tokens_.resize(kept);
  logits_.resize(kept);
}

void Candidates::cut(const Cuts& cuts) {
  if (tokens_.empty()) {
    return;
  }
  if (cuts.top_k > 0) {
    keep_best(static_cast<std::size_t>(cuts.top_k));
  }
  if (cuts.top_p < 1) {
    keep_nucleus(cuts.top_p);
  }
  if (cuts.min_p > 0) {
    keep_if_at_least(greatest(logits_) + std::log(std::min(cuts.min_p, 1.0F)));
  }
}

Token Candidates::draw(float temperature, double chance) {
  const float best = greatest(logits_);
  const float factor = 1 / temperature;
  weights_.resize(logits_.size());
  for (std::size_t i = 0; i < logits_.size(); ++i) {
    weights_[i] = exponential(std::max((logits_[i] - best) * factor, -87.0F));
  }
  double all = 0;
  for (const float weight : weights_) {
    all += static_cast<double>(weight);
  }
  double left = chance * all;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    left -= static_cast<double>(weights_[i]);
    if (left < 0) {
      return tokens_[i];
    }
  }
  return tokens_.back();
}

}  // namespace deepmoat::engine
