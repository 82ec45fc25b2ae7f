#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <random>
#include <unordered_map>

#include "engine/answer_format.h"
#include "engine/candidates.h"
#include "engine/control_text.h"
#include "engine/grammar.h"
#include "engine/handles.h"
#include "engine/held.h"
#include "engine/piece.h"
#include "engine/text.h"
#include "engine/thinking.h"

namespace deepmoat::engine {

namespace {

// How many of the most probable tokens are tried against a grammar before the next size.
constexpr std::size_t kTryFirst = 64;
constexpr std::size_t kTryNext = 1024;
// Tokens that were not tried may hold this share of the probability of those that fit.
constexpr double kUntriedShare = 1e-3;

ThinkingTags tags_of(const Prompt& prompt) {
  return prompt.format ? prompt.format->thinking : ThinkingTags{};
}

}  // namespace

struct Sampler::Parts {
  const llama_vocab* vocab;
  SamplingOptions options;
  std::shared_ptr<const Constraint> constraint;
  Thinking thinking;
  std::optional<Held> held = std::nullopt;
  std::mt19937_64 random{};
  std::unordered_map<Token, std::uint32_t> counts = {};  // of the answer's tokens
  std::vector<float> changed = {};                       // logits after bias and penalties
  Candidates candidates = {};
  std::vector<llama_token_data> tried = {};
  std::uint32_t thought = 0;  // tokens
  std::deque<Token> forced = {};
  Utf8Stream characters = {};
  bool over = false;

  [[nodiscard]] bool penalises() const {
    return options.presence_penalty != 0 || options.frequency_penalty != 0 ||
           options.repeat_penalty != 1;
  }

  std::span<const float> change(std::span<const float> logits) {
    if (options.logit_bias.empty() && (!penalises() || counts.empty())) {
      return logits;
    }
    changed.assign(logits.begin(), logits.end());
    for (const auto& [token, bias] : options.logit_bias) {
      if (token >= 0 && static_cast<std::size_t>(token) < changed.size()) {
        changed[static_cast<std::size_t>(token)] += bias;
      }
    }
    for (const auto& [token, count] : counts) {
      float& logit = changed[static_cast<std::size_t>(token)];
      logit = logit <= 0 ? logit * options.repeat_penalty : logit / options.repeat_penalty;
      logit -= options.presence_penalty + options.frequency_penalty * static_cast<float>(count);
    }
    return changed;
  }

  double chance() { return static_cast<double>(random() >> 11U) * 0x1p-53; }

  [[nodiscard]] Cuts cuts() const {
    return {.top_k = options.top_k, .top_p = options.top_p, .min_p = options.min_p};
  }

  Token choose(std::span<const float> logits) {
    if (options.temperature <= 0) {
      return most_probable(logits);
    }
    const float best = greatest(logits);
    candidates.gather(logits, best - range_that_matters(logits.size(), options.temperature));
    candidates.cut(cuts());
    return candidates.size() > 0 ? candidates.draw(options.temperature, chance())
                                 : most_probable(logits);
  }

  // Those of `some` that the grammar allows.
  std::vector<TokenLogit> allowed(const Grammar& grammar, std::span<const TokenLogit> some) {
    tried.clear();
    for (const TokenLogit& one : some) {
      tried.push_back({one.token, one.logit, 0.0F});
    }
    grammar.mask(tried);
    std::vector<TokenLogit> fit;
    for (const llama_token_data& one : tried) {
      if (!std::isinf(one.logit)) {
        fit.push_back({one.id, one.logit});
      }
    }
    return fit;
  }

  // Draws among the tokens that fit, trying the probable ones first.
  std::optional<Token> choose_fitting(std::span<const float> logits, const Grammar& grammar) {
    const float best = greatest(logits);
    candidates.gather(logits, best - range_that_matters(logits.size(), options.temperature));
    const std::vector<TokenLogit> order = candidates.in_order(kTryNext);
    double untried = exponential_sum(logits, best);
    std::vector<TokenLogit> fit;
    std::size_t done = 0;
    for (const std::size_t upto : {kTryFirst, kTryNext}) {
      const std::size_t end = std::min(upto, order.size());
      for (std::size_t i = done; i < end; ++i) {
        untried -= std::exp(static_cast<double>(order[i].logit - best));
      }
      const auto more = allowed(grammar, std::span(order).subspan(done, end - done));
      fit.insert(fit.end(), more.begin(), more.end());
      done = end;
      double mass = 0;
      for (const TokenLogit& one : fit) {
        mass += std::exp(static_cast<double>(one.logit - best));
      }
      if (!fit.empty() && (options.temperature <= 0 || untried <= kUntriedShare * mass)) {
        return draw_of(fit);
      }
    }
    if (fit.empty() && grammar.may_end()) {
      return std::nullopt;  // the text is whole, and nothing probable goes on with it
    }
    candidates.gather(logits, -INFINITY);
    fit = allowed(grammar, candidates.in_order(0));
    return fit.empty() ? std::nullopt : std::optional(draw_of(fit));
  }

  Token draw_of(const std::vector<TokenLogit>& fit) {
    if (options.temperature <= 0) {
      return std::ranges::max_element(fit,
                                      [](const TokenLogit& a, const TokenLogit& b) {
                                        return a.logit != b.logit ? a.logit < b.logit
                                                                  : a.token > b.token;
                                      })
          ->token;
    }
    candidates.assign(fit);
    candidates.cut(cuts());
    return candidates.draw(options.temperature, chance());
  }

  std::optional<Token> next(std::span<const float> logits) {
    if (!forced.empty()) {
      const Token token = forced.front();
      forced.pop_front();
      return token;
    }
    const std::span<const float> values = change(logits);
    const Token token = choose(values);
    const Grammar* grammar = held ? held->grammar() : nullptr;
    if (grammar == nullptr || grammar->allows(token)) {
      return token;
    }
    return choose_fitting(values, *grammar);
  }

  void accept(Token token) {
    if (penalises()) {
      ++counts[token];
    }
    if (!held && !thinking.tags().known()) {
      return;
    }
    const std::string piece = piece_of(vocab, token, true);
    const bool thought_before = thinking.inside();
    thinking.feed(piece);
    over = held && !held->accept(token, piece, thinking);
    if (!options.reasoning_budget) {
      return;
    }
    (void)characters.feed(piece);
    thought += thought_before ? 1 : 0;
    if (thinking.inside() && forced.empty() && thought >= *options.reasoning_budget &&
        characters.whole()) {
      end_thinking();
    }
  }

  void end_thinking() {
    for (const Token end : tokenise(vocab, thinking.tags().ends.front(), false, true)) {
      forced.push_back(end);
    }
  }
};

Sampler::Sampler(const Model& model, const SamplingOptions& options, const Prompt& prompt)
    : parts_(std::make_unique<Parts>(Parts{.vocab = model.handles().vocab,
                                           .options = options,
                                           .constraint = prompt.constraint,
                                           .thinking = Thinking(tags_of(prompt))})) {
  Parts& p = *parts_;
  p.random.seed(options.seed);
  p.options.repeat_penalty = options.repeat_penalty > 0 ? options.repeat_penalty : 1;
  if (p.constraint) {
    p.held.emplace(*p.constraint, p.thinking);
  }
  if (p.options.reasoning_budget && *p.options.reasoning_budget == 0 && p.thinking.inside()) {
    p.end_thinking();
  }
}

Sampler::Sampler(Sampler&& other) noexcept = default;
Sampler& Sampler::operator=(Sampler&& other) noexcept = default;
Sampler::~Sampler() = default;

Drawn Sampler::draw(std::span<const float> logits) {
  Parts& p = *parts_;
  Drawn drawn;
  const std::optional<Token> token = p.over ? std::nullopt : p.next(logits);
  if (!token) {
    drawn.over = true;
    return drawn;
  }
  drawn.token = *token;
  p.accept(*token);
  if (p.options.logprobs) {
    const float best = greatest(logits);
    const float all = best + static_cast<float>(std::log(exponential_sum(logits, best)));
    drawn.chosen = {*token, logits[static_cast<std::size_t>(*token)] - all};
    for (const TokenLogit& one : top_tokens(logits, p.options.top_logprobs)) {
      drawn.top.push_back({one.token, one.logit - all});
    }
  }
  return drawn;
}

}  // namespace deepmoat::engine
