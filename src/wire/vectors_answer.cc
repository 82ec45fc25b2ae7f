// Answers of /v1/embeddings (OpenAI) and /v1/rerank (the shape of Jina and vLLM).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <iterator>
#include <numeric>
#include <span>

#include "wire/answer_json.h"

namespace deepmoat::wire {

namespace {

// RFC 4648, section 4.
std::string base64(std::span<const unsigned char> bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(bytes.size() - at, 3);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8U | (i < count ? bytes[at + i] : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text += i <= count ? kDigits[group >> (18 - 6 * i) & 63U] : '=';
    }
  }
  return text;
}

std::string base64_of(std::span<const float> values) {
  std::vector<unsigned char> bytes;
  bytes.reserve(values.size() * 4);
  for (const float value : values) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (unsigned shift = 0; shift < 32; shift += 8) {
      bytes.push_back(static_cast<unsigned char>(bits >> shift & 255U));  // little-endian
    }
  }
  return base64(bytes);
}

// The shortest digits that read back as the same number.
std::string list_of(std::span<const float> values) {
  std::string text = "[";
  for (const float value : values) {
    fmt::format_to(std::back_inserter(text), "{}{}", text.size() > 1 ? "," : "",
                   std::isfinite(value) ? value : 0.0F);
  }
  return text + "]";
}

class EmbeddingsWriter final : public AnswerWriter {
 public:
  EmbeddingsWriter(AnswerHead head, AnswerOptions options)
      : head_(std::move(head)), options_(std::move(options)) {}

  // Text, not a tree: 2048 vectors of 4096 numbers would be 8 million nodes.
  [[nodiscard]] std::string body(const Answer& answer) const override {
    std::string body = R"({"object":"list","data":[)";
    const std::size_t count = answer.width == 0 ? 0 : answer.vectors.size() / answer.width;
    for (std::size_t i = 0; i < count; ++i) {
      const auto vector = std::span(answer.vectors).subspan(i * answer.width, answer.width);
      body +=
          fmt::format(R"({}{{"object":"embedding","index":{},"embedding":)", i > 0 ? "," : "", i);
      body += options_.base64 ? '"' + base64_of(vector) + '"' : list_of(vector);
      body += '}';
    }
    body += fmt::format(R"(],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
                        json_string(head_.model), answer.usage.prompt_tokens(),
                        answer.usage.prompt_tokens());
    return body;
  }

 private:
  AnswerHead head_;
  AnswerOptions options_;
};

class RerankWriter final : public AnswerWriter {
 public:
  RerankWriter(AnswerHead head, AnswerOptions options)
      : head_(std::move(head)), options_(std::move(options)) {}

  [[nodiscard]] std::string body(const Answer& answer) const override {
    std::vector<std::size_t> order(answer.scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
      const double score_a = finite(answer.scores[a]);
      const double score_b = finite(answer.scores[b]);
      return score_a != score_b ? score_a > score_b : a < b;
    });
    if (options_.top_n > 0 && options_.top_n < order.size()) {
      order.resize(options_.top_n);
    }
    Json results = Json::array();
    for (const std::size_t index : order) {
      Json result = {{"index", index}, {"relevance_score", finite(answer.scores[index])}};
      if (index < options_.documents.size()) {
        result["document"] = {{"text", options_.documents[index]}};
      }
      results.push_back(std::move(result));
    }
    return dump({{"id", head_.id},
                 {"model", head_.model},
                 {"usage",
                  {{"prompt_tokens", answer.usage.prompt_tokens()},
                   {"total_tokens", answer.usage.prompt_tokens()}}},
                 {"results", results}});
  }

 private:
  AnswerHead head_;
  AnswerOptions options_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_embeddings_writer(AnswerHead head, AnswerOptions options) {
  return std::make_unique<EmbeddingsWriter>(std::move(head), std::move(options));
}

std::unique_ptr<AnswerWriter> make_rerank_writer(AnswerHead head, AnswerOptions options) {
  return std::make_unique<RerankWriter>(std::move(head), std::move(options));
}

}  // namespace deepmoat::wire
