// Vectors and scores of texts, many at once. Belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model.h"

namespace deepmoat::engine {

class Embedder {
 public:
  // REQUIRES: facts().task is embed or rerank.
  explicit Embedder(Model& model);

  // Tokens of a text, with those that the model wants around it; what users wrote is data.
  // Code::invalid_argument for an empty text.
  [[nodiscard]] Result<std::vector<Token>> tokens_of(std::string_view text) const;
  // Tokens of a query with a document, for a ranking model.
  [[nodiscard]] Result<std::vector<Token>> tokens_of_pair(std::string_view query,
                                                          std::string_view document) const;

  // Of one compute(); an input longer than batch_tokens cannot be computed.
  [[nodiscard]] std::uint32_t batch_tokens() const { return batch_tokens_; }
  [[nodiscard]] std::uint32_t batch_inputs() const { return batch_inputs_; }

  // A vector of length 1 for each input, or of one score when the model ranks.
  // REQUIRES: no input is empty, and all fit into one batch.
  [[nodiscard]] Result<std::vector<std::vector<float>>> compute(
      std::span<const std::vector<Token>> inputs);

  // Computes a short and a long input; ends in SIGILL on a processor that does not do what it
  // promises.
  [[nodiscard]] Result<> self_test();

 private:
  [[nodiscard]] std::vector<Token> plain_tokens(std::string_view text, bool special_around,
                                                bool special_inside) const;

  Model& model_;
  std::uint32_t batch_tokens_;
  std::uint32_t batch_inputs_;
};

// Cuts a vector to its first values and scales it to length 1.
void shorten(std::vector<float>& vector, std::size_t dimensions);

}  // namespace deepmoat::engine
