// What stands before and between the tokens in the prefix tree, so that calls that may not share
// a prefix never meet there.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "scheduler/types.h"

namespace deepmoat::scheduler {

// Gives each salt a mark: a negative number that no other salt has or had. Not thread-safe.
class SaltMarks {
 public:
  [[nodiscard]] Token mark_of(const std::string& salt);

 private:
  std::map<std::string, Token> marks_;
  Token next_ = -2;
};

// The path of a prompt in the tree: the adapter, the public tokens, the salt, the other tokens.
// Callers with other salts meet it as far as the public tokens go, callers with other adapters
// nowhere. Public tokens are those that this caller's list has, so that one caller's list opens
// nothing of another's.
[[nodiscard]] std::vector<Token> path_of(AdapterId adapter, std::uint32_t public_tokens, Token salt,
                                         std::span<const Token> tokens);

}  // namespace deepmoat::scheduler
