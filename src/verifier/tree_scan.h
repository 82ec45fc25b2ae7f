// The trees over the records of a log: their roots at the sizes that checkpoints name, and at the
// end; on a thread of their own where that is wanted.
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

struct Roots {
  Digest sha256{};
  std::optional<Digest> sm3;
};

// One thread at a time.
class TreeScan {
 public:
  // `sizes`: where the roots are wanted.
  TreeScan(std::vector<std::uint64_t> sizes, bool with_sm3);

  // Both before the first leaf.
  void check_tiles(std::unique_ptr<TileCheck> tiles) { tiles_ = std::move(tiles); }
  void check_sm3_tiles(std::unique_ptr<TileCheck> tiles) { sm3_tiles_ = std::move(tiles); }

  void add(const Leaf& leaf);

  [[nodiscard]] std::uint64_t size() const { return tree_.size(); }
  // Without SM3 also when a stub had no SM3 leaf hash: sm3_lost_at() names its record, else 0.
  [[nodiscard]] Roots roots() const;
  [[nodiscard]] std::uint64_t sm3_lost_at() const { return sm3_lost_at_; }
  // At one of `sizes`; null when the log did not come so far.
  [[nodiscard]] const Roots* roots_at(std::uint64_t size) const;
  [[nodiscard]] const TileCheck* tiles() const { return tiles_.get(); }
  [[nodiscard]] const TileCheck* sm3_tiles() const { return sm3_tiles_.get(); }

 private:
  void add_sm3(const Leaf& leaf);

  const std::vector<std::uint64_t> sizes_;  // sorted
  std::size_t next_size_ = 0;
  CompactRange tree_{Algorithm::sha256};
  std::optional<CompactRange> sm3_;
  std::uint64_t sm3_lost_at_ = 0;
  std::map<std::uint64_t, Roots> roots_;
  std::unique_ptr<TileCheck> tiles_;
  std::unique_ptr<TileCheck> sm3_tiles_;
};

// Hands leaves to a TreeScan, in batches to a second thread or at once on this one. The bytes of a
// leaf must stay until finish_all() returns. Used by one thread.
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
