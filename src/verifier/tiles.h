// The tiles of a log (c2sp.org/tlog-tiles) held against its records.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "verifier/hash.h"

namespace deepmoat::verifier {

struct TileReport {
  std::uint64_t equal = 0;
  std::uint64_t different = 0;
  std::uint64_t missing = 0;
  std::string first_bad;  // its path within the log's folder

  [[nodiscard]] bool good() const { return different == 0 && missing == 0; }
};

// "tile/0/x001/x234/067"; with a width, of the partial tile: "tile/0/x001/x234/067.p/12".
[[nodiscard]] std::string tile_path(std::string_view root, unsigned level, std::uint64_t index,
                                    std::uint64_t width = 0);

// Computes the tiles as leaves come and compares each with its file: the full ones, and the
// partial ones of the tree of `checkpoint_size` leaves. A full tile behind that tree may be
// missing: nothing rests on it yet. Keeps one tile a level. One thread at a time.
class TileCheck {
 public:
  TileCheck(std::filesystem::path folder, std::string root, Algorithm algorithm,
            std::uint64_t checkpoint_size);

  void add_leaf_hash(const Digest& hash);
  // After the last leaf.
  [[nodiscard]] const TileReport& report() const { return report_; }

 private:
  void finish_tile(std::size_t level);
  void check_right_edge();
  void compare(const std::string& path, std::string_view wanted, bool may_be_missing);
  [[nodiscard]] bool wider_tile_begins_with(const std::filesystem::path& partial,
                                            std::string_view wanted) const;
  [[nodiscard]] Digest root_of(std::vector<Digest> hashes) const;

  const std::filesystem::path folder_;
  const std::string root_;
  const TreeHasher hasher_;
  const std::uint64_t checkpoint_size_;
  std::uint64_t size_ = 0;
  struct Level {
    std::uint64_t full = 0;      // tiles
    std::vector<Digest> hashes;  // of the tile that is being filled
  };
  std::vector<Level> levels_;
  TileReport report_;
};

}  // namespace deepmoat::verifier
