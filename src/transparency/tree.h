// A growing Merkle tree of which only the right edge is in memory; what is complete leaves as tiles
// of 256 hashes (C2SP tlog-tiles).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "transparency/merkle.h"

namespace deepmoat::transparency {

inline constexpr std::size_t kTileWidth = 256;  // hashes in a full tile
inline constexpr unsigned kTileHeight = 8;      // levels of the tree in one tile
inline constexpr unsigned kTileLevels = 8;      // 256^8 leaves
inline constexpr std::size_t kTileBytes = kTileWidth * 32;

// Hash `i` of the tile is the subtree of 256^level leaves with the index 256 x index + i.
struct Tile {
  unsigned level = 0;
  std::uint64_t index = 0;
  std::vector<Digest> hashes;
};

// The incomplete tile of each level.
using TreeEdge = std::array<std::vector<Digest>, kTileLevels>;

// One thread at a time; copies are independent.
class Tree {
 public:
  explicit Tree(TreeHash hash) : hash_(hash) {}
  // Goes on with a tree of `size` leaves. REQUIRES: the edge is that of this size.
  Tree(TreeHash hash, std::uint64_t size, TreeEdge edge)
      : hash_(hash), size_(size), edge_(std::move(edge)) {}

  // `on_full_tile` gets each tile that this leaf completes, lower levels first.
  void append(const Digest& leaf, const std::function<void(Tile)>& on_full_tile);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] const TreeEdge& edge() const { return edge_; }
  [[nodiscard]] Digest root() const;

 private:
  TreeHash hash_;
  std::uint64_t size_ = 0;
  TreeEdge edge_;
};

// How many hashes the incomplete tile of `level` has in a tree of `size` leaves.
[[nodiscard]] std::size_t edge_width(unsigned level, std::uint64_t size);

}  // namespace deepmoat::transparency
