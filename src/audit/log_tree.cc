#include "audit/log_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "audit/segment.h"
#include "base/hex.h"
#include "base/log.h"

namespace deepmoat::audit {

namespace {

using transparency::Digest;
using transparency::Tile;
using transparency::Tree;
using transparency::TreeHash;
using transparency::TreeView;

constexpr std::uint64_t kManyRecords = 1'000'000;  // reading them takes seconds, so it is said

std::unexpected<Error> corrupt(const KnownCheckpoint& known, std::string_view why) {
  return fail(
      Code::corrupt,
      fmt::format("the audit log does not continue the checkpoint of {} records kept in {}: {}; "
                  "records were removed or replaced, or this folder is an older copy",
                  known.checkpoint.size, known.place, why));
}

std::string other_root(std::string_view what, const Digest& kept, const Digest& found) {
  return fmt::format("its {} is {}, the log's is {}", what, to_hex(crypto::view(kept)),
                     to_hex(crypto::view(found)));
}

}  // namespace

Checkpoint TreeSnapshot::checkpoint(const std::string& origin) const {
  return {.origin = origin,
          .size = tree.size(),
          .root = tree.root(),
          .sm3_root = sm3_tree ? std::optional(sm3_tree->root()) : std::nullopt};
}

LogTree::LogTree(const std::filesystem::path& directory, bool sm3)
    : directory_(directory), tiles_(directory / "tile"), sm3_tiles_(directory / "tile-sm3") {
  if (sm3) {
    now_.sm3_tree.emplace(TreeHash::sm3);
  }
}

Result<> LogTree::load(std::uint64_t records, const std::vector<KnownCheckpoint>& known) {
  const KnownCheckpoint* newest = nullptr;
  for (const KnownCheckpoint& one : known) {
    if (one.checkpoint.size > records) {
      return corrupt(one, fmt::format("the log has {} records", records));
    }
    if (newest == nullptr || one.checkpoint.size > newest->checkpoint.size) {
      newest = &one;
    }
  }
  if (newest != nullptr) {
    Result<> resumed = resume(newest->checkpoint);
    if (resumed) {
      resumed = read_from_segments(records);
    }
    if (resumed) {
      resumed = check(known);
    }
    if (resumed) {
      return {};
    }
    log::warn("audit log: the tiles of its tree are not usable and are made again",
              {{"why", resumed.error().message}});
  }
  CHECK_OK(restart());
  CHECK_OK(read_from_segments(records));
  return check(known);
}

// Takes the tree of `checkpoint` from the tiles.
Result<> LogTree::resume(const Checkpoint& checkpoint) {
  TRY(transparency::TreeEdge edge, tiles_.read_edge(checkpoint.size));
  Tree tree(TreeHash::sha256, checkpoint.size, std::move(edge));
  bool right = tree.root() == checkpoint.root;
  now_.tree = std::move(tree);
  if (now_.sm3_tree) {
    if (!checkpoint.sm3_root) {
      return fail(Code::not_found, "the SM3 tree was not kept so far");
    }
    TRY(transparency::TreeEdge sm3_edge, sm3_tiles_.read_edge(checkpoint.size));
    Tree sm3_tree(TreeHash::sm3, checkpoint.size, std::move(sm3_edge));
    right = right && sm3_tree.root() == *checkpoint.sm3_root;
    now_.sm3_tree = std::move(sm3_tree);
  }
  if (!right) {
    return fail(Code::corrupt, "their root is not the checkpoint's");
  }
  const bool whole = tiles_.has_full_tiles(checkpoint.size) &&
                     (!now_.sm3_tree || sm3_tiles_.has_full_tiles(checkpoint.size));
  return whole ? Result<>() : fail(Code::corrupt, "some of them are missing or cut off");
}

Result<> LogTree::restart() {
  CHECK_OK(tiles_.clear());
  now_.tree = Tree(TreeHash::sha256);
  if (now_.sm3_tree) {
    CHECK_OK(sm3_tiles_.clear());
    now_.sm3_tree = Tree(TreeHash::sm3);
  }
  return {};
}

Result<> LogTree::read_from_segments(std::uint64_t records) {
  if (records - now_.size() > kManyRecords) {
    log::info("audit log: reading it for its Merkle tree", {{"records", records - now_.size()}});
  }
  TRY(const std::uint64_t count, count_segments(directory_));
  std::uint64_t first = 1;
  for (std::uint64_t number = count; number > 1; --number) {
    TRY(const SegmentFile file, SegmentFile::open(directory_, number));
    TRY(const std::string head, file.read(0, kSegmentHeaderBytes));
    SegmentHeader header;
    if (parse_segment_header(head, header) == nullptr && header.first_sequence <= now_.size() + 1) {
      first = number;
      break;
    }
  }
  for (std::uint64_t number = first; number <= count && now_.size() < records; ++number) {
    CHECK_OK(read_segment(number));
    CHECK_OK(tiles_.write_pending());
    CHECK_OK(sm3_tiles_.write_pending());
  }
  return now_.size() == records
             ? Result<>()
             : fail(Code::corrupt, fmt::format("audit log: {} records were read for the Merkle "
                                               "tree, {} are there; run `deepmoat audit verify`",
                                               now_.size(), records));
}

Result<> LogTree::read_segment(std::uint64_t number) {
  TRY(const SegmentFile file, SegmentFile::open(directory_, number));
  std::string bytes;
  CHECK_OK(file.load(bytes));
  SegmentHeader header;
  const char* why = parse_segment_header(bytes, header);
  if (why == nullptr) {
    ChainState chain{header.first_sequence, header.hash};
    const auto take = [&](const KeptEntry& entry) {
      if (entry.sequence() != now_.size() + 1) {
        return;  // in the tree already
      }
      if (entry.is_stub) {
        append_leaf(entry.stub.leaf, entry.stub.sm3_leaf);
      } else {
        append(entry.frame.leaf_data);
      }
    };
    if (file.kept()) {
      why = scan_kept(bytes, chain, take);
    } else {
      (void)scan_frames(bytes, kSegmentHeaderBytes, chain,
                        [&](const Frame& frame) { take({.frame = frame, .stub = {}}); });
    }
  }
  return why == nullptr ? Result<>()
                        : fail(Code::corrupt, fmt::format("audit log {}: {}; run `deepmoat audit "
                                                          "verify`",
                                                          file.path().string(), why));
}

// Each known checkpoint is a beginning of this log, in each of its trees.
Result<> LogTree::check(const std::vector<KnownCheckpoint>& known) const {
  const TreeSnapshot now = snapshot();
  const TreeView tree(TreeHash::sha256, now.size(), now.tree.edge(), tiles_);
  for (const KnownCheckpoint& one : known) {
    const Checkpoint& checkpoint = one.checkpoint;
    TRY(const Digest root, tree.root(checkpoint.size));
    if (root != checkpoint.root) {
      return corrupt(one, other_root("root", checkpoint.root, root));
    }
    if (now.sm3_tree && checkpoint.sm3_root) {
      const TreeView sm3_tree(TreeHash::sm3, now.size(), now.sm3_tree->edge(), sm3_tiles_);
      TRY(const Digest sm3_root, sm3_tree.root(checkpoint.size));
      if (sm3_root != *checkpoint.sm3_root) {
        return corrupt(one, other_root("SM3 root", *checkpoint.sm3_root, sm3_root));
      }
    }
  }
  return {};
}

void LogTree::append(std::string_view leaf_data) {
  const Digest leaf = transparency::leaf_hash(TreeHash::sha256, leaf_data);
  append_leaf(leaf, now_.sm3_tree ? transparency::leaf_hash(TreeHash::sm3, leaf_data) : Digest{});
}

void LogTree::append_leaf(const Digest& leaf, const Digest& sm3_leaf) {
  const std::lock_guard lock(mutex_);
  now_.tree.append(leaf, [this](Tile tile) { tiles_.add(std::move(tile)); });
  if (now_.sm3_tree) {
    now_.sm3_tree->append(sm3_leaf, [this](Tile tile) { sm3_tiles_.add(std::move(tile)); });
  }
}

std::uint64_t LogTree::size() const {
  const std::lock_guard lock(mutex_);
  return now_.size();
}

TreeSnapshot LogTree::snapshot() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

TreeView LogTree::view() const {
  const std::lock_guard lock(mutex_);
  return {TreeHash::sha256, now_.tree.size(), now_.tree.edge(), tiles_};
}

Result<> LogTree::write_tiles(const TreeSnapshot& snapshot) {
  CHECK_OK(tiles_.write_pending());
  CHECK_OK(tiles_.write_edge(snapshot.tree.edge(), snapshot.size()));
  if (snapshot.sm3_tree) {
    CHECK_OK(sm3_tiles_.write_pending());
    CHECK_OK(sm3_tiles_.write_edge(snapshot.sm3_tree->edge(), snapshot.size()));
  }
  return {};
}

void LogTree::remove_edge(std::uint64_t old_size, std::uint64_t size) {
  tiles_.remove_edge(old_size, size);
  sm3_tiles_.remove_edge(old_size, size);
}

}  // namespace deepmoat::audit
