#include "transparency/tile_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/file.h"

namespace deepmoat::transparency {

namespace {

constexpr std::size_t kHashBytes = 32;
constexpr std::size_t kTilesRemembered = 64;  // 512 KiB

std::string bytes_of(const std::vector<Digest>& hashes) {
  std::string bytes;
  bytes.reserve(hashes.size() * kHashBytes);
  for (const Digest& hash : hashes) {
    bytes += crypto::view(hash);
  }
  return bytes;
}

std::vector<Digest> hashes_of(std::string_view bytes, std::size_t width) {
  std::vector<Digest> hashes(width);
  for (std::size_t i = 0; i < width; ++i) {
    std::memcpy(hashes[i].data(), bytes.data() + (i * kHashBytes), kHashBytes);
  }
  return hashes;
}

// Whole or not at all for whoever reads beside us; after a power cut it may be missing or short,
// which readers notice.
Result<> write_tile(const std::filesystem::path& path, const std::vector<Digest>& hashes) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return fail(Code::io, "make " + path.parent_path().string() + ": " + error.message());
  }
  const std::filesystem::path unfinished = path.string() + ".new";
  {
    TRY(const UniqueFd file, open_file(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
    if (auto written = write_all_at(file.get(), bytes_of(hashes), 0); !written) {
      ::unlink(unfinished.c_str());  // gives the space back
      return fail(written.error().code, unfinished.string() + ": " + written.error().message);
    }
  }
  if (::rename(unfinished.c_str(), path.c_str()) != 0) {
    return fail_errno(Code::io, "rename " + unfinished.string());
  }
  return {};
}

}  // namespace

std::string tile_name(std::uint64_t index) {
  std::string name = fmt::format("{:03}", index % 1000);
  for (index /= 1000; index > 0; index /= 1000) {
    name = fmt::format("x{:03}/{}", index % 1000, name);
  }
  return name;
}

std::filesystem::path TileStore::path_of(unsigned level, std::uint64_t index) const {
  return folder_ / std::to_string(level) / tile_name(index);
}

std::filesystem::path TileStore::partial_path_of(unsigned level, std::uint64_t index,
                                                 std::size_t width) const {
  return path_of(level, index).string() + ".p/" + std::to_string(width);
}

void TileStore::add(Tile tile) {
  const std::lock_guard lock(mutex_);
  read_before_.erase({tile.level, tile.index});
  pending_.insert_or_assign({tile.level, tile.index}, std::move(tile.hashes));
}

Result<> TileStore::write_pending() {
  for (;;) {
    std::pair<unsigned, std::uint64_t> place;
    std::vector<Digest> hashes;
    {
      const std::lock_guard lock(mutex_);
      if (pending_.empty()) {
        return {};
      }
      place = pending_.begin()->first;
      hashes = pending_.begin()->second;
    }
    CHECK_OK(write_tile(path_of(place.first, place.second), hashes));
    const std::lock_guard lock(mutex_);
    pending_.erase(place);
  }
}

Result<> TileStore::write_edge(const TreeEdge& edge, std::uint64_t size) {
  for (unsigned level = 0; level < kTileLevels; ++level) {
    if (edge[level].empty()) {
      continue;
    }
    const std::uint64_t index = size >> (kTileHeight * level) >> kTileHeight;
    CHECK_OK(write_tile(partial_path_of(level, index, edge[level].size()), edge[level]));
  }
  return {};
}

void TileStore::remove_edge(std::uint64_t old_size, std::uint64_t size) {
  for (unsigned level = 0; level < kTileLevels; ++level) {
    const std::size_t width = edge_width(level, old_size);
    const std::uint64_t index = old_size >> (kTileHeight * level) >> kTileHeight;
    const std::uint64_t new_index = size >> (kTileHeight * level) >> kTileHeight;
    if (width == 0 || (index == new_index && width == edge_width(level, size))) {
      continue;
    }
    const std::filesystem::path path = partial_path_of(level, index, width);
    std::error_code ignored;  // left-overs take space and do no harm
    std::filesystem::remove(path, ignored);
    if (index != new_index) {
      std::filesystem::remove(path.parent_path(), ignored);
    }
  }
}

void TileStore::remember(Place place, const std::vector<Digest>& hashes) const {
  const std::lock_guard lock(mutex_);
  if (read_before_.size() >= kTilesRemembered) {
    read_before_.erase(read_before_.begin());  // of the lowest level, where there are most
  }
  read_before_.insert_or_assign(place, hashes);
}

Result<std::vector<Digest>> TileStore::read(unsigned level, std::uint64_t index,
                                            std::size_t width) const {
  {
    const std::lock_guard lock(mutex_);
    for (const auto* const tiles : {&pending_, &std::as_const(read_before_)}) {
      if (const auto found = tiles->find({level, index}); found != tiles->end()) {
        return std::vector<Digest>(found->second.begin(),
                                   found->second.begin() + static_cast<std::ptrdiff_t>(width));
      }
    }
  }
  const std::filesystem::path full = path_of(level, index);
  auto bytes = read_file(full, kTileBytes);
  if (bytes && bytes->size() != kTileBytes) {
    return fail(Code::corrupt, fmt::format("tile {} has {} bytes, not {}", full.string(),
                                           bytes->size(), kTileBytes));
  }
  if (!bytes && bytes.error().code == Code::not_found && width < kTileWidth) {
    const std::filesystem::path partial = partial_path_of(level, index, width);
    bytes = read_file(partial, kTileBytes);
    if (bytes && bytes->size() != width * kHashBytes) {
      return fail(Code::corrupt, fmt::format("tile {} has {} bytes, not {}", partial.string(),
                                             bytes->size(), width * kHashBytes));
    }
  }
  if (!bytes) {
    return std::unexpected(std::move(bytes).error());
  }
  std::vector<Digest> hashes = hashes_of(*bytes, width);
  if (width == kTileWidth) {
    remember({level, index}, hashes);
  }
  return hashes;
}

Result<TreeEdge> TileStore::read_edge(std::uint64_t size) const {
  TreeEdge edge;
  for (unsigned level = 0; level < kTileLevels; ++level) {
    const std::size_t width = edge_width(level, size);
    if (width > 0) {
      TRY(edge[level], read(level, size >> (kTileHeight * level) >> kTileHeight, width));
    }
  }
  return edge;
}

bool TileStore::has_full_tiles(std::uint64_t size) const {
  for (unsigned level = 0; level < kTileLevels; ++level) {
    const std::uint64_t count = size >> (kTileHeight * level) >> kTileHeight;
    for (std::uint64_t index = 0; index < count; ++index) {
      std::error_code error;
      if (std::filesystem::file_size(path_of(level, index), error) != kTileBytes || error) {
        return false;
      }
    }
  }
  return true;
}

Result<> TileStore::clear() {
  const std::lock_guard lock(mutex_);
  pending_.clear();
  read_before_.clear();
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
  return error ? fail(Code::io, "remove " + folder_.string() + ": " + error.message()) : Result<>();
}

Result<Digest> TreeView::node(unsigned level, std::uint64_t index) const {
  const unsigned tile_level = level / kTileHeight;
  const unsigned height = level % kTileHeight;
  const std::uint64_t first = index << height;  // in hashes of this tile level
  const std::uint64_t tile = first / kTileWidth;
  const std::size_t at = first % kTileWidth;
  const std::size_t count = std::size_t{1} << height;
  const std::uint64_t full_tiles = size_ >> (kTileHeight * tile_level) >> kTileHeight;
  if (tile == full_tiles && at + count <= edge_[tile_level].size()) {
    return root_over(hash_, std::span(edge_[tile_level]).subspan(at, count));
  }
  TRY(const std::vector<Digest> hashes, store_->read(tile_level, tile, kTileWidth));
  return root_over(hash_, std::span(hashes).subspan(at, count));
}

Result<> TreeView::check_size(std::uint64_t size) const {
  return size <= size_ ? Result<>()
                       : fail(Code::invalid_argument,
                              fmt::format("the tree has {} records, not {}", size_, size));
}

Result<Digest> TreeView::root(std::uint64_t size) const {
  CHECK_OK(check_size(size));
  return root_at(hash_, size, [this](unsigned level, std::uint64_t i) { return node(level, i); });
}

Result<std::vector<Digest>> TreeView::inclusion(std::uint64_t index, std::uint64_t size) const {
  CHECK_OK(check_size(size));
  return inclusion_proof(hash_, index, size,
                         [this](unsigned level, std::uint64_t i) { return node(level, i); });
}

Result<std::vector<Digest>> TreeView::consistency(std::uint64_t old_size,
                                                  std::uint64_t size) const {
  CHECK_OK(check_size(size));
  return consistency_proof(hash_, old_size, size,
                           [this](unsigned level, std::uint64_t i) { return node(level, i); });
}

}  // namespace deepmoat::transparency
