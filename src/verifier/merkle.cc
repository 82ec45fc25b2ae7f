// Pure but for the hasher's context.
#include "verifier/merkle.h"

namespace deepmoat::verifier {

void CompactRange::add_leaf_hash(Digest hash) {
  // As when one is added to a binary number: each bit that was set carries.
  for (std::uint64_t carry = size_; (carry & 1) != 0; carry >>= 1) {
    hash = hasher_.node(full_.back(), hash);
    full_.pop_back();
  }
  full_.push_back(hash);
  ++size_;
}

Digest CompactRange::root() const {
  if (full_.empty()) {
    return hasher_.nothing();
  }
  Digest root = full_.back();
  for (std::size_t i = full_.size() - 1; i-- > 0;) {
    root = hasher_.node(full_[i], root);
  }
  return root;
}

bool included(const TreeHasher& hasher, std::uint64_t index, std::uint64_t size,
              const Digest& leaf_hash, std::span<const Digest> proof, const Digest& root) {
  if (index >= size) {
    return false;
  }
  // RFC 9162, 2.1.3.2, which checks the proofs of RFC 6962.
  std::uint64_t node = index;
  std::uint64_t last = size - 1;
  Digest hash = leaf_hash;
  for (const Digest& sibling : proof) {
    if (last == 0) {
      return false;
    }
    if ((node & 1) != 0 || node == last) {
      hash = hasher.node(sibling, hash);
      while ((node & 1) == 0 && node != 0) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      hash = hasher.node(hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && hash == root;
}

}  // namespace deepmoat::verifier
