// A growing tree and its tiles against the hashes of all leaves.
#include "transparency/tree.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/scratch_folder.h"
#include "transparency/tile_store.h"

namespace deepmoat::transparency {
namespace {

constexpr TreeHash kHash = TreeHash::sha256;

Digest leaf(std::uint64_t i) {
  return leaf_hash(kHash, std::to_string(i));
}

std::vector<Digest> leaves(std::uint64_t count) {
  std::vector<Digest> made;
  for (std::uint64_t i = 0; i < count; ++i) {
    made.push_back(leaf(i));
  }
  return made;
}

Tree grown(std::uint64_t count, TileStore& store) {
  Tree tree(kHash);
  for (std::uint64_t i = 0; i < count; ++i) {
    tree.append(leaf(i), [&](Tile tile) { store.add(std::move(tile)); });
  }
  return tree;
}

TEST(TileName, GroupsOfThreeDigits) {
  EXPECT_EQ(tile_name(0), "000");
  EXPECT_EQ(tile_name(67), "067");
  EXPECT_EQ(tile_name(1234067), "x001/x234/067");
}

TEST(Tree, ItsRootIsThatOfItsLeavesAtEverySize) {
  const ScratchFolder folder;
  TileStore store(folder.path());
  const std::vector<Digest> all = leaves(1030);
  Tree tree(kHash);
  EXPECT_EQ(tree.root(), empty_root(kHash));
  for (std::uint64_t i = 0; i < all.size(); ++i) {
    tree.append(all[i], [&](Tile tile) { store.add(std::move(tile)); });
    if (i < 20 || (i + 3) % 256 < 6) {
      ASSERT_EQ(tree.root(), root_over(kHash, std::span(all).first(i + 1))) << i;
    }
  }
}

// 70,000 leaves: three levels of tiles.
TEST(TileStore, ProofsFromTilesHoldAtAllSizes) {
  const ScratchFolder folder;
  constexpr std::uint64_t kCount = 70'000;
  const std::vector<Digest> all = leaves(kCount);
  {
    TileStore store(folder.path());
    const Tree tree = grown(kCount, store);
    ASSERT_TRUE(store.write_pending());
    ASSERT_TRUE(store.write_edge(tree.edge(), tree.size()));
  }
  const TileStore store(folder.path());  // as another process finds it
  const Tree tree(kHash, kCount, store.read_edge(kCount).value());
  const TreeView view(kHash, kCount, tree.edge(), store);
  EXPECT_EQ(tree.root(), root_over(kHash, all));
  for (const std::uint64_t size :
       {1UL, 2UL, 255UL, 256UL, 257UL, 511UL, 65'535UL, 65'536UL, 65'537UL, 69'999UL, 70'000UL}) {
    const Digest root = root_over(kHash, std::span(all).first(size));
    ASSERT_EQ(view.root(size).value(), root) << size;
    for (const std::uint64_t index :
         {0UL, 1UL, 254UL, 255UL, 256UL, 65'535UL, 65'536UL, size - 1}) {
      if (index < size) {
        ASSERT_TRUE(inclusion_holds(kHash, all[index], index, size,
                                    view.inclusion(index, size).value(), root))
            << index << " in " << size;
      }
    }
    ASSERT_TRUE(consistency_holds(kHash, size, kCount, view.consistency(size, kCount).value(), root,
                                  tree.root()));
  }
  EXPECT_EQ(view.root(kCount + 1).error().code, Code::invalid_argument);
}

TEST(TileStore, WhatIsNotYetWrittenCanBeRead) {
  const ScratchFolder folder;
  TileStore store(folder.path());
  const Tree tree = grown(300, store);
  EXPECT_EQ(store.read(0, 0, kTileWidth).value(), leaves(256));
  const TreeView view(kHash, 300, tree.edge(), store);
  EXPECT_EQ(view.root(300).value(), root_over(kHash, leaves(300)));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "0/000"));
}

TEST(TileStore, ATreeGoesOnFromItsTiles) {
  const ScratchFolder folder;
  for (const std::uint64_t begun : {1UL, 255UL, 256UL, 1000UL}) {
    TileStore store(folder.path() / std::to_string(begun));
    const Tree before = grown(begun, store);
    ASSERT_TRUE(store.write_pending());
    ASSERT_TRUE(store.write_edge(before.edge(), begun));
    TileStore reopened(folder.path() / std::to_string(begun));
    Tree tree(kHash, begun, reopened.read_edge(begun).value());
    for (std::uint64_t i = begun; i < begun + 300; ++i) {
      tree.append(leaf(i), [&](Tile tile) { reopened.add(std::move(tile)); });
    }
    EXPECT_EQ(tree.root(), root_over(kHash, leaves(begun + 300)));
    const TreeView view(kHash, tree.size(), tree.edge(), reopened);
    EXPECT_EQ(view.root(begun).value(), before.root());
  }
}

TEST(TileStore, TheEdgeOfAnEarlierTreeIsRemoved) {
  const ScratchFolder folder;
  TileStore store(folder.path());
  const Tree before = grown(300, store);
  ASSERT_TRUE(store.write_edge(before.edge(), 300));
  const Tree after = grown(600, store);
  ASSERT_TRUE(store.write_pending());
  ASSERT_TRUE(store.write_edge(after.edge(), 600));
  store.remove_edge(300, 600);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "0/001.p"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "1/000.p/1"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "0/002.p/88"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "1/000.p/2"));
  EXPECT_TRUE(store.read_edge(600));
}

TEST(TileStore, DamageIsSaid) {
  const ScratchFolder folder;
  TileStore store(folder.path());
  const Tree tree = grown(300, store);
  ASSERT_TRUE(store.write_pending());
  const TileStore reopened(folder.path());
  EXPECT_EQ(reopened.read(0, 1, 44).error().code, Code::not_found);
  std::ofstream(folder.path() / "0/000", std::ios::trunc) << "short";
  EXPECT_EQ(reopened.read(0, 0, kTileWidth).error().code, Code::corrupt);
}

}  // namespace
}  // namespace deepmoat::transparency
