#include "scheduler/prefix_key.h"

#include <algorithm>

namespace deepmoat::scheduler {

namespace {

constexpr std::size_t kSaltsMax = 4096;

}  // namespace

Token SaltMarks::mark_of(const std::string& salt) {
  const auto known = marks_.find(salt);
  if (known != marks_.end()) {
    return known->second;
  }
  if (marks_.size() >= kSaltsMax) {
    marks_.clear();  // who comes again gets another mark, and no prefix of before
  }
  const Token mark = next_;
  next_ -= 2;  // even numbers; adapters have the odd ones
  marks_.emplace(salt, mark);
  return mark;
}

std::vector<Token> path_of(AdapterId adapter, std::uint32_t public_tokens, Token salt,
                           std::span<const Token> tokens) {
  const std::size_t open = std::min<std::size_t>(public_tokens, tokens.size());
  std::vector<Token> path;
  path.reserve(tokens.size() + 2);
  path.push_back(-1 - 2 * static_cast<Token>(adapter));
  path.insert(path.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(open));
  if (open < tokens.size()) {
    path.push_back(salt);
    path.insert(path.end(), tokens.begin() + static_cast<std::ptrdiff_t>(open), tokens.end());
  }
  return path;
}

}  // namespace deepmoat::scheduler
