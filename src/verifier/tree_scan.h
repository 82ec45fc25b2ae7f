// The trees over the records of a log: their roots at the sizes that checkpoints name, and at the
// end; each on a thread of its own where that is wanted.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "verifier/merkle.h"
#include "verifier/tiles.h"

namespace deepmoat::verifier {

// A record or its stub, in the bytes of a segment.
struct Leaf {
  const char* at = nullptr;
  std::uint32_t bytes = 0;  // of the leaf data; 0: a stub stands there
};

// The tree of one algorithm. One thread at a time.
class TreeScan {
 public:
  // `sizes`: where the roots are wanted.
  TreeScan(Algorithm algorithm, std::vector<std::uint64_t> sizes);

  // Before the first leaf.
  void check_tiles(std::unique_ptr<TileCheck> tiles) { tiles_ = std::move(tiles); }

  // Does nothing any more once lost_at() is not 0.
  void add(const Leaf& leaf);

  [[nodiscard]] std::uint64_t size() const { return tree_.size(); }
  [[nodiscard]] Digest root() const { return tree_.root(); }
  // At one of `sizes`; null when the tree did not come so far.
  [[nodiscard]] const Digest* root_at(std::uint64_t size) const;
  // The first record whose stub has no leaf hash of this algorithm; 0: there is none.
  [[nodiscard]] std::uint64_t lost_at() const { return lost_at_; }
  [[nodiscard]] const TileCheck* tiles() const { return tiles_.get(); }

 private:
  [[nodiscard]] Digest hash_of(const Leaf& leaf) const;

  const Algorithm algorithm_;
  const std::vector<std::uint64_t> sizes_;  // sorted
  std::size_t next_size_ = 0;
  CompactRange tree_;
  std::uint64_t lost_at_ = 0;
  std::map<std::uint64_t, Digest> roots_;
  std::unique_ptr<TileCheck> tiles_;
};

// Hands leaves to a TreeScan, in batches to a thread of its own or at once on this one. The bytes
// of a leaf must stay until finish_all() returns. Used by one thread.
class LeafFeed {
 public:
  LeafFeed(TreeScan& tree, bool own_thread);
  ~LeafFeed();
  LeafFeed(const LeafFeed&) = delete;
  LeafFeed& operator=(const LeafFeed&) = delete;

  void add(const Leaf& leaf);
  // Returns once every leaf that was added is in the tree, which may then be read.
  void finish_all();

 private:
  void hand_over();
  void run();

  TreeScan& tree_;
  std::vector<Leaf> filling_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<Leaf>> waiting_;
  bool busy_ = false;
  bool ended_ = false;
  std::optional<std::jthread> thread_;  // the last member: it uses the others
};

}  // namespace deepmoat::verifier
