// TreeScan runs on one thread at a time: LeafFeed's own, or that of its user.
#include "verifier/tree_scan.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "verifier/bytes.h"

namespace deepmoat::verifier {

namespace {

constexpr std::size_t kBatch = 512;
constexpr std::size_t kBatchesMax = 64;
constexpr std::size_t kStubLeafHash = 32;
constexpr std::size_t kStubSm3LeafHash = 64;

Digest digest_at(const char* bytes) {
  Digest digest;
  std::memcpy(digest.data(), bytes, digest.size());
  return digest;
}

std::vector<std::uint64_t> sorted(std::vector<std::uint64_t> sizes) {
  std::ranges::sort(sizes);
  const auto twice = std::ranges::unique(sizes);
  sizes.erase(twice.begin(), twice.end());
  return sizes;
}

}  // namespace

TreeScan::TreeScan(Algorithm algorithm, std::vector<std::uint64_t> sizes)
    : algorithm_(algorithm), sizes_(sorted(std::move(sizes))), tree_(algorithm) {
  if (!sizes_.empty() && sizes_[0] == 0) {
    roots_[0] = tree_.root();
    next_size_ = 1;
  }
}

void TreeScan::add(const Leaf& leaf) {
  if (lost_at_ != 0) {
    return;
  }
  if (leaf.bytes == 0 && algorithm_ == Algorithm::sm3 &&
      all_zero({leaf.at + kStubSm3LeafHash, sizeof(Digest)})) {
    lost_at_ = tree_.size() + 1;
    tiles_.reset();
    return;
  }
  const Digest hash = hash_of(leaf);
  tree_.add_leaf_hash(hash);
  if (tiles_) {
    tiles_->add_leaf_hash(hash);
  }
  if (next_size_ < sizes_.size() && sizes_[next_size_] == tree_.size()) {
    roots_[tree_.size()] = tree_.root();
    ++next_size_;
  }
}

Digest TreeScan::hash_of(const Leaf& leaf) const {
  if (leaf.bytes != 0) {
    return tree_.hasher().leaf({leaf.at, leaf.bytes});
  }
  return digest_at(leaf.at + (algorithm_ == Algorithm::sm3 ? kStubSm3LeafHash : kStubLeafHash));
}

const Digest* TreeScan::root_at(std::uint64_t size) const {
  const auto found = roots_.find(size);
  return found == roots_.end() ? nullptr : &found->second;
}

LeafFeed::LeafFeed(TreeScan& tree, bool own_thread) : tree_(tree) {
  if (own_thread) {
    filling_.reserve(kBatch);
    thread_.emplace([this] { run(); });
  }
}

LeafFeed::~LeafFeed() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void LeafFeed::add(const Leaf& leaf) {
  if (!thread_) {
    tree_.add(leaf);
    return;
  }
  filling_.push_back(leaf);
  if (filling_.size() == kBatch) {
    hand_over();
  }
}

void LeafFeed::hand_over() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.size() < kBatchesMax; });
  waiting_.push_back(std::exchange(filling_, {}));
  changed_.notify_all();
  lock.unlock();
  filling_.reserve(kBatch);
}

void LeafFeed::finish_all() {
  if (!thread_) {
    return;
  }
  if (!filling_.empty()) {
    hand_over();
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.empty() && !busy_; });
}

void LeafFeed::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ended_ || !waiting_.empty(); });
    if (waiting_.empty()) {
      return;
    }
    const std::vector<Leaf> batch = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    lock.unlock();
    for (const Leaf& leaf : batch) {
      tree_.add(leaf);
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace deepmoat::verifier
