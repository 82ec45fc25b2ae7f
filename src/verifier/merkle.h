// The Merkle tree of RFC 6962, 2.1: its root as leaves come, and inclusion proofs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "verifier/hash.h"

namespace deepmoat::verifier {

// A growing tree of which only the roots of its full subtrees are kept: one for each bit that is
// set in its size. One thread at a time.
class CompactRange {
 public:
  explicit CompactRange(Algorithm algorithm) : hasher_(algorithm) {}

  void add_leaf(std::string_view data) { add_leaf_hash(hasher_.leaf(data)); }
  void add_leaf_hash(Digest hash);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] Digest root() const;
  [[nodiscard]] const TreeHasher& hasher() const { return hasher_; }

 private:
  TreeHasher hasher_;
  std::uint64_t size_ = 0;
  std::vector<Digest> full_;  // from the left, the largest first
};

// Whether `proof` (RFC 6962, 2.1.1, from the leaf up) shows that the leaf `index` of a tree of
// `size` leaves with this root has this hash. Any thread that owns `hasher`.
[[nodiscard]] bool included(const TreeHasher& hasher, std::uint64_t index, std::uint64_t size,
                            const Digest& leaf_hash, std::span<const Digest> proof,
                            const Digest& root);

}  // namespace deepmoat::verifier
