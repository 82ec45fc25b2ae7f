// The bytes of a token. For .cc files of this folder only.
#pragma once

#include <llama.h>

#include <array>
#include <string>

#include "engine/model.h"

namespace deepmoat::engine {

// `special`: control tokens have their text too.
inline std::string piece_of(const llama_vocab* vocab, Token token, bool special) {
  std::array<char, 256> buffer;
  const std::int32_t count =
      llama_token_to_piece(vocab, token, buffer.data(), buffer.size(), 0, special);
  if (count >= 0) {
    return {buffer.data(), static_cast<std::size_t>(count)};
  }
  std::string bytes(static_cast<std::size_t>(-count), '\0');
  llama_token_to_piece(vocab, token, bytes.data(), -count, 0, special);
  return bytes;
}

}  // namespace deepmoat::engine
