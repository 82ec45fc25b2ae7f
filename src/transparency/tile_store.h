// The tiles of one tree in a folder, as C2SP tlog-tiles names them. Derived data: tiles can always
// be made again from the leaves, so that nothing here waits for the disk.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <utility>

#include "transparency/tree.h"

namespace deepmoat::transparency {

// "x001/x234/067" for 1234067.
[[nodiscard]] std::string tile_name(std::uint64_t index);

// Thread-safe. One process writes; others may read meanwhile.
class TileStore {
 public:
  explicit TileStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Takes a full tile; it can be read from now on and is written by write_pending().
  void add(Tile tile);
  // Writes what was added. What could not be written stays readable, and is tried again next time.
  [[nodiscard]] Result<> write_pending();
  // Writes the right edge of a tree as partial tiles.
  [[nodiscard]] Result<> write_edge(const TreeEdge& edge, std::uint64_t size);
  // Removes the partial tiles of a tree of `old_size` leaves that one of `size` does not have.
  void remove_edge(std::uint64_t old_size, std::uint64_t size);

  // The first `width` hashes of a tile, from a full or a partial one. Code::not_found,
  // Code::corrupt for a file of another length, Code::io.
  [[nodiscard]] Result<std::vector<Digest>> read(unsigned level, std::uint64_t index,
                                                 std::size_t width) const;
  // The right edge of a tree of `size` leaves.
  [[nodiscard]] Result<TreeEdge> read_edge(std::uint64_t size) const;

  // Whether every full tile of a tree of `size` leaves is there with its length: a power cut can
  // have taken one. One look at each file, some 4,000 for a million leaves.
  [[nodiscard]] bool has_full_tiles(std::uint64_t size) const;

  // Deletes every tile.
  [[nodiscard]] Result<> clear();

 private:
  using Place = std::pair<unsigned, std::uint64_t>;  // level, index

  [[nodiscard]] std::filesystem::path path_of(unsigned level, std::uint64_t index) const;
  [[nodiscard]] std::filesystem::path partial_path_of(unsigned level, std::uint64_t index,
                                                      std::size_t width) const;

  // Full tiles do not change, so those that were read stay: a proof asks for one again and again.
  void remember(Place place, const std::vector<Digest>& hashes) const;

  const std::filesystem::path folder_;
  mutable std::mutex mutex_;
  std::map<Place, std::vector<Digest>> pending_;
  mutable std::map<Place, std::vector<Digest>> read_before_;
};

// A tree of a certain size: its edge, and the tiles before it. Copies are cheap enough for each
// proof. The store must outlive it.
class TreeView {
 public:
  TreeView(TreeHash hash, std::uint64_t size, TreeEdge edge, const TileStore& store)
      : hash_(hash), size_(size), edge_(std::move(edge)), store_(&store) {}

  [[nodiscard]] std::uint64_t size() const { return size_; }
  // Code::invalid_argument for sizes over size(); Code::not_found, Code::corrupt, Code::io of
  // tiles.
  [[nodiscard]] Result<Digest> root(std::uint64_t size) const;
  [[nodiscard]] Result<std::vector<Digest>> inclusion(std::uint64_t index,
                                                      std::uint64_t size) const;
  [[nodiscard]] Result<std::vector<Digest>> consistency(std::uint64_t old_size,
                                                        std::uint64_t size) const;
  // The complete subtree of 2^level leaves that begins at leaf index x 2^level. REQUIRES: size()
  // holds it.
  [[nodiscard]] Result<Digest> node(unsigned level, std::uint64_t index) const;

 private:
  [[nodiscard]] Result<> check_size(std::uint64_t size) const;

  TreeHash hash_;
  std::uint64_t size_;
  TreeEdge edge_;
  const TileStore* store_;
};

}  // namespace deepmoat::transparency
