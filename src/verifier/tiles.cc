// On the thread that owns the tree.
#include "verifier/tiles.h"

#include <utility>

#include "verifier/file.h"

namespace deepmoat::verifier {

namespace {

constexpr std::size_t kWidth = 256;
constexpr std::size_t kTileBytes = kWidth * sizeof(Digest);

std::string_view bytes_of(const std::vector<Digest>& hashes) {
  return {reinterpret_cast<const char*>(hashes.data()), hashes.size() * sizeof(Digest)};
}

}  // namespace

std::string tile_path(std::string_view root, unsigned level, std::uint64_t index,
                      std::uint64_t width) {
  std::string name;
  for (std::uint64_t rest = index;; rest /= 1000) {
    std::string digits = std::to_string(rest % 1000);
    digits.insert(0, 3 - digits.size(), '0');
    name = name.empty() ? digits : "x" + digits + "/" + name;
    if (rest < 1000) {
      break;
    }
  }
  std::string path = std::string(root) + "/" + std::to_string(level) + "/" + name;
  return width == 0 ? path : path + ".p/" + std::to_string(width);
}

TileCheck::TileCheck(std::filesystem::path folder, std::string root, Algorithm algorithm,
                     std::uint64_t checkpoint_size)
    : folder_(std::move(folder)),
      root_(std::move(root)),
      hasher_(algorithm),
      checkpoint_size_(checkpoint_size) {}

void TileCheck::add_leaf_hash(const Digest& hash) {
  if (levels_.empty()) {
    levels_.emplace_back();
  }
  levels_[0].hashes.push_back(hash);
  ++size_;
  for (std::size_t level = 0; level < levels_.size() && levels_[level].hashes.size() == kWidth;
       ++level) {
    finish_tile(level);
  }
  if (size_ == checkpoint_size_) {
    check_right_edge();
  }
}

void TileCheck::finish_tile(std::size_t level) {
  if (level + 1 == levels_.size()) {
    levels_.emplace_back();
  }
  Level& here = levels_[level];
  compare(tile_path(root_, static_cast<unsigned>(level), here.full, 0), bytes_of(here.hashes),
          size_ > checkpoint_size_);
  levels_[level + 1].hashes.push_back(root_of(std::move(here.hashes)));
  here.hashes.clear();
  ++here.full;
}

void TileCheck::check_right_edge() {
  for (std::size_t level = 0; level < levels_.size(); ++level) {
    const Level& here = levels_[level];
    if (!here.hashes.empty()) {
      compare(tile_path(root_, static_cast<unsigned>(level), here.full, here.hashes.size()),
              bytes_of(here.hashes), false);
    }
  }
}

void TileCheck::compare(const std::string& path, std::string_view wanted, bool may_be_missing) {
  const auto found = read_small_file(folder_ / path, kTileBytes);
  if (found && *found == wanted) {
    ++report_.equal;
    return;
  }
  const bool missing = !found && found.error().fault == Fault::not_there;
  if (missing && may_be_missing) {
    return;
  }
  // A server that has gone on meanwhile may have removed a partial tile for a wider one.
  if (missing && wanted.size() < kTileBytes && wider_tile_begins_with(folder_ / path, wanted)) {
    ++report_.equal;
    return;
  }
  ++(missing ? report_.missing : report_.different);
  if (report_.first_bad.empty()) {
    report_.first_bad = path;
  }
}

bool TileCheck::wider_tile_begins_with(const std::filesystem::path& partial,
                                       std::string_view wanted) const {
  const std::filesystem::path partials = partial.parent_path();  // "067.p"
  constexpr int kTries = 5;  // what was listed may be gone again when it is read
  for (int i = 0; i < kTries; ++i) {
    std::vector<std::filesystem::path> wider{partials.parent_path() / partials.stem()};
    std::error_code error;
    for (std::filesystem::directory_iterator entry(partials, error);
         !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      wider.push_back(entry->path());
    }
    for (const auto& path : wider) {
      const auto found = read_small_file(path, kTileBytes);
      if (found && found->size() > wanted.size()) {
        return found->starts_with(wanted);
      }
    }
  }
  return false;
}

Digest TileCheck::root_of(std::vector<Digest> hashes) const {
  for (std::size_t count = hashes.size(); count > 1; count /= 2) {
    for (std::size_t i = 0; i < count / 2; ++i) {
      hashes[i] = hasher_.node(hashes[2 * i], hashes[2 * i + 1]);
    }
  }
  return hashes[0];
}

}  // namespace deepmoat::verifier
