// Which replica has a prompt's start in its prefix cache? An approximate memory of where prompts
// went: hashes of their first blocks. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "wire/worker.pb.h"

namespace deepmoat::backend {

// Hashes of the prompt's starts, shortest first: each covers one block more. Prompts of different
// salts, adapters or tools have none in common, as in the worker's own cache.
[[nodiscard]] std::vector<std::uint64_t> prompt_blocks(const wire::InferRequest& request);

class Affinity {
 public:
  // Remembers about `blocks_max` blocks, the lately used ones.
  explicit Affinity(std::size_t blocks_max = 1 << 16) : blocks_max_(blocks_max) {}

  struct Match {
    std::size_t replica = 0;
    std::size_t blocks = 0;  // so many of the prompt's first ones went there
  };
  // The replica that saw the longest start.
  [[nodiscard]] std::optional<Match> find(const std::vector<std::uint64_t>& blocks);
  void note(const std::vector<std::uint64_t>& blocks, std::size_t replica);

 private:
  std::size_t blocks_max_;
  // When `young_` is full it becomes `old_`: what was not used since then is forgotten.
  std::unordered_map<std::uint64_t, std::size_t> young_;
  std::unordered_map<std::uint64_t, std::size_t> old_;
};

}  // namespace deepmoat::backend
