#include "engine/sampler.h"

#include <algorithm>
#include <vector>

#include "engine/handles.h"

namespace deepmoat::engine {

namespace {

constexpr std::int32_t kPenaltyTokens = 4096;  // how far back a penalty looks
constexpr std::size_t kKeepMin = 1;

struct FreeSampler {
  void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
};

Token most_probable(std::span<const float> logits) {
  // Two passes: the first one is vectorised, and finding the place costs half a pass on average.
  float best = logits[0];
  for (const float value : logits) {
    best = value > best ? value : best;
  }
  return static_cast<Token>(std::ranges::find(logits, best) - logits.begin());
}

}  // namespace

struct Sampler::Chain {
  std::unique_ptr<llama_sampler, FreeSampler> sampler;
  std::vector<llama_token_data> candidates;
};

Sampler::Sampler(const Model& model, const SamplingOptions& options) {
  const bool penalties = options.presence_penalty != 0.0F || options.frequency_penalty != 0.0F;
  if (options.temperature <= 0.0F && !penalties && options.logit_bias.empty()) {
    return;
  }
  chain_ = std::make_unique<Chain>();
  chain_->sampler.reset(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  llama_sampler* chain = chain_->sampler.get();
  const auto vocabulary = static_cast<std::int32_t>(model.facts().vocabulary);
  if (!options.logit_bias.empty()) {
    std::vector<llama_logit_bias> biases;
    for (const auto& [token, bias] : options.logit_bias) {
      if (token >= 0 && token < vocabulary) {
        biases.push_back({token, bias});
      }
    }
    llama_sampler_chain_add(
        chain, llama_sampler_init_logit_bias(vocabulary, static_cast<std::int32_t>(biases.size()),
                                             biases.data()));
  }
  if (penalties) {
    llama_sampler_chain_add(
        chain, llama_sampler_init_penalties(vocabulary, kPenaltyTokens, 1.0F,
                                            options.frequency_penalty, options.presence_penalty));
  }
  if (options.temperature <= 0.0F) {
    llama_sampler_chain_add(chain, llama_sampler_init_greedy());
    return;
  }
  if (options.top_k > 0) {
    llama_sampler_chain_add(chain, llama_sampler_init_top_k(options.top_k));
  }
  if (options.top_p < 1.0F) {
    llama_sampler_chain_add(chain, llama_sampler_init_top_p(options.top_p, kKeepMin));
  }
  if (options.min_p > 0.0F) {
    llama_sampler_chain_add(chain, llama_sampler_init_min_p(options.min_p, kKeepMin));
  }
  llama_sampler_chain_add(chain, llama_sampler_init_temp(options.temperature));
  // llama.cpp's seeds have 32 bits, and one of them means "draw one".
  auto seed = static_cast<std::uint32_t>(options.seed ^ (options.seed >> 32U));
  seed = seed == LLAMA_DEFAULT_SEED ? seed - 1 : seed;
  llama_sampler_chain_add(chain, llama_sampler_init_dist(seed));
}

Sampler::Sampler(Sampler&& other) noexcept = default;
Sampler& Sampler::operator=(Sampler&& other) noexcept = default;
Sampler::~Sampler() = default;

Token Sampler::draw(std::span<const float> logits) {
  if (!chain_) {
    return most_probable(logits);
  }
  auto& candidates = chain_->candidates;
  candidates.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    candidates[i] = {static_cast<llama_token>(i), logits[i], 0.0F};
  }
  llama_token_data_array array{candidates.data(), candidates.size(), -1, false};
  llama_sampler_apply(chain_->sampler.get(), &array);
  const std::size_t at = array.selected >= 0 ? static_cast<std::size_t>(array.selected) : 0;
  const Token token = array.data[at].id;
  llama_sampler_accept(chain_->sampler.get(), token);
  return token;
}

}  // namespace deepmoat::engine
