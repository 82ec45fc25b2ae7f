#include "engine/held.h"

#include <algorithm>

namespace deepmoat::engine {

namespace {

constexpr std::size_t kTailBytes = 1024;  // what triggers are looked for in

}  // namespace

Held::Held(const Constraint& constraint, const Thinking& thinking)
    : constraint_(constraint),
      grammar_(constraint.grammar),
      active_(!constraint.lazy && !(constraint.after_thinking && thinking.inside())) {}

bool Held::accept(Token token, std::string_view piece, const Thinking& thinking) {
  if (active_) {
    return grammar_.accept(token);
  }
  if (given_up_) {
    return true;
  }
  if (!constraint_.lazy) {
    active_ = !thinking.inside();
    return true;
  }
  return watch(token, piece, thinking.inside());
}

bool Held::watch(Token token, std::string_view piece, bool inside) {
  if (!inside &&
      std::ranges::find(constraint_.trigger_tokens, token) != constraint_.trigger_tokens.end()) {
    active_ = true;
    return grammar_.accept(token);
  }
  tail_.append(piece);
  seen_ += piece.size();
  for (const std::string& word : constraint_.trigger_words) {
    const std::size_t at = tail_.find(word);
    if (at == std::string::npos) {
      continue;
    }
    if (inside) {
      tail_.erase(0, at + word.size());  // only thought about
      continue;
    }
    return begin(std::string_view(tail_).substr(at));
  }
  std::smatch match;
  for (const std::regex& pattern : constraint_.trigger_patterns) {
    const auto flags = seen_ > tail_.size() ? std::regex_constants::match_not_bol
                                            : std::regex_constants::match_default;
    if (inside || !std::regex_search(tail_, match, pattern, flags)) {
      continue;
    }
    std::size_t group = 0;  // a pattern's group says where the grammar begins
    for (std::size_t i = 1; i < match.size() && group == 0; ++i) {
      group = match.length(i) > 0 ? i : 0;
    }
    return begin(std::string_view(tail_).substr(static_cast<std::size_t>(match.position(group))));
  }
  if (tail_.size() > kTailBytes) {
    tail_.erase(0, tail_.size() - kTailBytes);
  }
  return true;
}

bool Held::begin(std::string_view text) {
  active_ = grammar_.accept_text(text);
  given_up_ = !active_;  // the trigger stood in a text that is no call
  return true;
}

}  // namespace deepmoat::engine
