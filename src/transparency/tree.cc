#include "transparency/tree.h"

#include <utility>

namespace deepmoat::transparency {

void Tree::append(const Digest& leaf, const std::function<void(Tile)>& on_full_tile) {
  Digest hash = leaf;
  ++size_;
  for (unsigned level = 0; level < kTileLevels; ++level) {
    std::vector<Digest>& hashes = edge_[level];
    hashes.push_back(hash);
    if (hashes.size() < kTileWidth) {
      return;
    }
    hash = root_over(hash_, hashes);
    Tile tile{level, (size_ >> (kTileHeight * (level + 1))) - 1, std::exchange(hashes, {})};
    hashes.reserve(kTileWidth);
    on_full_tile(std::move(tile));
  }
}

// Level by level from the right: what the lower levels have not completed stands as one smaller
// subtree behind the complete ones.
Digest Tree::root() const {
  std::vector<Digest> nodes;
  for (const std::vector<Digest>& hashes : edge_) {
    if (hashes.empty()) {
      continue;
    }
    nodes.insert(nodes.begin(), hashes.begin(), hashes.end());
    nodes = {root_over(hash_, nodes)};
  }
  return nodes.empty() ? empty_root(hash_) : nodes.front();
}

std::size_t edge_width(unsigned level, std::uint64_t size) {
  return (size >> (kTileHeight * level)) % kTileWidth;
}

}  // namespace deepmoat::transparency
