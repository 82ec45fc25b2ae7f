// The Merkle trees over the log: SHA-256 always, SM3 beside it where that is wanted
// (docs/formats/audit.md, "Merkle tree"). In memory they are as new as the last commit; their tiles
// are written behind it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format.h"
#include "base/result.h"
#include "transparency/note.h"
#include "transparency/tile_store.h"
#include "transparency/tree.h"

namespace deepmoat::audit {

using transparency::Checkpoint;

// A place's checkpoint whose signature has been checked.
struct KnownCheckpoint {
  std::string place;  // for messages
  Checkpoint checkpoint;
};

// The trees at one moment.
struct TreeSnapshot {
  transparency::Tree tree{transparency::TreeHash::sha256};
  std::optional<transparency::Tree> sm3_tree;

  [[nodiscard]] std::uint64_t size() const { return tree.size(); }
  [[nodiscard]] Checkpoint checkpoint(const std::string& origin) const;
};

class LogTree {
 public:
  // Without records. `sm3`: with the second tree.
  LogTree(const std::filesystem::path& directory, bool sm3);

  // Goes on where the tiles and the newest of `known` end, and adds the records behind it from the
  // segments; where the tiles do not fit, all is read from the segments and the tiles are written
  // anew. Code::corrupt when the log is shorter than one of `known` or has another root at its
  // size: records were removed or replaced, or the folder is an older copy. Before any other call.
  [[nodiscard]] Result<> load(std::uint64_t records, const std::vector<KnownCheckpoint>& known);

  // The commit thread's: a record that is durable.
  void append(std::string_view leaf_data);

  // Thread-safe, like all that follows.
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] TreeSnapshot snapshot() const;
  // For proofs in the SHA-256 tree. The log must outlive it.
  [[nodiscard]] transparency::TreeView view() const;

  // Writes what tiles are full, and the right edge of `snapshot`.
  [[nodiscard]] Result<> write_tiles(const TreeSnapshot& snapshot);
  // Removes the right edge of an earlier one.
  void remove_edge(std::uint64_t old_size, std::uint64_t size);

 private:
  void append_leaf(const transparency::Digest& leaf, const transparency::Digest& sm3_leaf);
  Result<> resume(const Checkpoint& checkpoint);
  Result<> restart();
  Result<> read_from_segments(std::uint64_t records);
  Result<> read_segment(std::uint64_t number);
  Result<> check(const std::vector<KnownCheckpoint>& known) const;

  const std::filesystem::path directory_;
  transparency::TileStore tiles_;
  transparency::TileStore sm3_tiles_;
  mutable std::mutex mutex_;
  TreeSnapshot now_;
};

}  // namespace deepmoat::audit
