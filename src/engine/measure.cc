// Measures through Model, with the batches that serving uses.
#include "engine/measure.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace deepmoat::engine {

namespace {

constexpr std::size_t kWindowTokens = 512;
constexpr std::size_t kReadTokens = 32;  // of a window, before the first prediction counts
constexpr std::size_t kRowsMax = 64;     // rows of logits of one batch

double seconds_since(const Clock& clock, MonoNanos begun) {
  return static_cast<double>(std::max<MonoNanos>(clock.mono_ns() - begun, 1)) / 1e9;
}

// -ln p(token), without overflow.
double surprise(std::span<const float> logits, Token token) {
  const float most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float value : logits) {
    sum += std::exp(static_cast<double>(value - most));
  }
  return std::log(sum) + static_cast<double>(most) -
         static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

// Adds the surprise of every token after the first ones.
Result<> read_window(Model& model, std::span<const Token> window, double& sum,
                     std::uint32_t& counted) {
  const std::size_t rows_max = std::clamp<std::size_t>(model.facts().sequences, 1, kRowsMax);
  const Rows first{.sequence = 0, .position = 0, .tokens = window.first(kReadTokens)};
  CHECK_OK(model.decode({&first, 1}));
  for (std::size_t at = kReadTokens; at + 1 < window.size(); at += rows_max) {
    const std::size_t end = std::min(at + rows_max, window.size() - 1);
    std::vector<Rows> rows;
    for (std::size_t i = at; i < end; ++i) {
      rows.push_back({.sequence = 0,
                      .position = static_cast<std::uint32_t>(i),
                      .tokens = window.subspan(i, 1),
                      .logits = true});
    }
    CHECK_OK(model.decode(rows));
    for (std::size_t i = at; i < end; ++i) {
      sum += surprise(model.logits(i - at), window[i + 1]);
      ++counted;
    }
  }
  model.memory().drop(0);
  return {};
}

}  // namespace

Result<Speed> measure_speed(Model& model, std::span<const Token> tokens,
                            std::uint32_t prompt_tokens, std::uint32_t output_tokens,
                            std::uint32_t rounds, const Clock& clock) {
  std::vector<Token> prompt(prompt_tokens);
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    prompt[i] = tokens[i % tokens.size()];
  }
  Speed best;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const Rows all{.sequence = 0, .position = 0, .tokens = prompt, .logits = true};
    const MonoNanos begun = clock.mono_ns();
    CHECK_OK(model.decode({&all, 1}));
    (void)model.logits(0);  // waits until it is computed
    best.prompt_tokens_s =
        std::max(best.prompt_tokens_s, prompt_tokens / seconds_since(clock, begun));
    const MonoNanos prompted = clock.mono_ns();
    for (std::uint32_t i = 0; i < output_tokens; ++i) {
      const Rows one{.sequence = 0,
                     .position = prompt_tokens + i,
                     .tokens = std::span(prompt).subspan(i % prompt.size(), 1),
                     .logits = true};
      CHECK_OK(model.decode({&one, 1}));
      (void)model.logits(0);
    }
    best.output_tokens_s =
        std::max(best.output_tokens_s, output_tokens / seconds_since(clock, prompted));
    model.memory().drop(0);
  }
  return best;
}

Result<Perplexity> measure_perplexity(Model& model, std::span<const Token> tokens,
                                      const std::function<void(float)>& progress) {
  Perplexity made;
  double sum = 0;
  for (std::size_t at = 0; at + kReadTokens + 1 < tokens.size(); at += kWindowTokens) {
    if (progress) {
      progress(static_cast<float>(at) / static_cast<float>(tokens.size()));
    }
    const std::size_t size = std::min(kWindowTokens, tokens.size() - at);
    CHECK_OK(read_window(model, tokens.subspan(at, size), sum, made.tokens));
  }
  if (made.tokens == 0) {
    return fail(Code::invalid_argument, "the text is too short: give at least " +
                                            std::to_string(kReadTokens * 2) + " words");
  }
  made.value = std::exp(sum / made.tokens);
  if (!std::isfinite(made.value)) {
    return fail(Code::internal, "the engine computes values that are not numbers on this machine");
  }
  return made;
}

}  // namespace deepmoat::engine
