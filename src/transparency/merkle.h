// The hashes of a Merkle tree as RFC 6962, section 2.1, defines them, and the arithmetic of its
// proofs. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/digest.h"

namespace deepmoat::transparency {

using crypto::Digest;

enum class TreeHash : std::uint8_t { sha256, sm3 };

[[nodiscard]] Digest leaf_hash(TreeHash hash, std::string_view leaf_data);
[[nodiscard]] Digest node_hash(TreeHash hash, const Digest& left, const Digest& right);
// The root of a tree without leaves.
[[nodiscard]] Digest empty_root(TreeHash hash);
// The root over `nodes`, complete subtrees of one size but for the last, which may be smaller.
// REQUIRES: not empty.
[[nodiscard]] Digest root_over(TreeHash hash, std::span<const Digest> nodes);

// Gives the hash of a complete subtree: the one of 2^level leaves that begins at leaf
// index x 2^level.
using NodeReader = std::function<Result<Digest>(unsigned level, std::uint64_t index)>;

// Of the first `size` leaves of the tree behind `read`; size 0 gives empty_root().
[[nodiscard]] Result<Digest> root_at(TreeHash hash, std::uint64_t size, const NodeReader& read);
// RFC 6962, 2.1.1, from the leaf up. Code::invalid_argument unless index < size.
[[nodiscard]] Result<std::vector<Digest>> inclusion_proof(TreeHash hash, std::uint64_t index,
                                                          std::uint64_t size,
                                                          const NodeReader& read);
// RFC 6962, 2.1.2. Code::invalid_argument unless 0 < old_size <= size.
[[nodiscard]] Result<std::vector<Digest>> consistency_proof(TreeHash hash, std::uint64_t old_size,
                                                            std::uint64_t size,
                                                            const NodeReader& read);

// RFC 9162, 2.1.3.2 and 2.1.4.2.
[[nodiscard]] bool inclusion_holds(TreeHash hash, const Digest& leaf, std::uint64_t index,
                                   std::uint64_t size, std::span<const Digest> proof,
                                   const Digest& root);
[[nodiscard]] bool consistency_holds(TreeHash hash, std::uint64_t old_size, std::uint64_t size,
                                     std::span<const Digest> proof, const Digest& old_root,
                                     const Digest& root);

}  // namespace deepmoat::transparency
