// A constraint on its way through an answer: where it holds, and where in its grammar the answer
// is. For .cc files of this folder only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/grammar.h"
#include "engine/thinking.h"

namespace deepmoat::engine {

class Held {
 public:
  Held(const Constraint& constraint, const Thinking& thinking);

  // The grammar, where it holds now; null: anything may come.
  [[nodiscard]] const Grammar* grammar() const { return active_ ? &grammar_ : nullptr; }

  // The next token. `thinking` has seen it already. False: the answer must end.
  [[nodiscard]] bool accept(Token token, std::string_view piece, const Thinking& thinking);

 private:
  [[nodiscard]] bool watch(Token token, std::string_view piece, bool inside);
  [[nodiscard]] bool begin(std::string_view text);

  const Constraint& constraint_;  // the prompt's, which the sampler keeps
  Grammar grammar_;
  bool active_;
  bool given_up_ = false;
  std::string tail_;
  std::size_t seen_ = 0;
};

}  // namespace deepmoat::engine
