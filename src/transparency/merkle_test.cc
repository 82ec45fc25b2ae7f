// Known roots, and the arithmetic of proofs against the definition of RFC 6962.
#include "transparency/merkle.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <string>

#include "base/hex.h"

namespace deepmoat::transparency {
namespace {

// MTH of RFC 6962, 2.1, word by word.
Digest naive_root(TreeHash hash, std::span<const Digest> leaves) {
  if (leaves.empty()) {
    return empty_root(hash);
  }
  if (leaves.size() == 1) {
    return leaves.front();
  }
  std::size_t k = 1;
  while (k * 2 < leaves.size()) {
    k *= 2;
  }
  return node_hash(hash, naive_root(hash, leaves.first(k)), naive_root(hash, leaves.subspan(k)));
}

std::vector<Digest> some_leaves(TreeHash hash, std::size_t count) {
  std::vector<Digest> leaves;
  for (std::size_t i = 0; i < count; ++i) {
    leaves.push_back(leaf_hash(hash, "leaf " + std::to_string(i)));
  }
  return leaves;
}

NodeReader reader_of(TreeHash hash, const std::vector<Digest>& leaves) {
  return [hash, &leaves](unsigned level, std::uint64_t index) -> Result<Digest> {
    const std::size_t width = std::size_t{1} << level;
    return naive_root(hash, std::span(leaves).subspan(index * width, width));
  };
}

// The test tree of the Certificate Transparency project (its merkle_tree_test).
TEST(Merkle, RootsOfTheCertificateTransparencyTestTree) {
  const std::vector<std::string> data = {"",
                                         "00",
                                         "10",
                                         "2021",
                                         "3031",
                                         "40414243",
                                         "5051525354555657",
                                         "606162636465666768696a6b6c6d6e6f"};
  const std::vector<std::string> roots = {
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  std::vector<Digest> leaves;
  for (std::size_t i = 0; i < data.size(); ++i) {
    leaves.push_back(leaf_hash(TreeHash::sha256, from_hex(data[i]).value()));
    EXPECT_EQ(to_hex(crypto::view(root_over(TreeHash::sha256, leaves))), roots[i]);
  }
  EXPECT_EQ(to_hex(crypto::view(empty_root(TreeHash::sha256))),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Merkle, EveryProofOfSmallTreesHolds) {
  for (const TreeHash hash : {TreeHash::sha256, TreeHash::sm3}) {
    const std::vector<Digest> leaves = some_leaves(hash, 35);
    const NodeReader read = reader_of(hash, leaves);
    for (std::uint64_t size = 1; size <= leaves.size(); ++size) {
      const Digest root = naive_root(hash, std::span(leaves).first(size));
      ASSERT_EQ(root_at(hash, size, read).value(), root);
      for (std::uint64_t index = 0; index < size; ++index) {
        const auto proof = inclusion_proof(hash, index, size, read).value();
        ASSERT_TRUE(inclusion_holds(hash, leaves[index], index, size, proof, root));
      }
      for (std::uint64_t old_size = 1; old_size <= size; ++old_size) {
        const Digest old_root = naive_root(hash, std::span(leaves).first(old_size));
        const auto proof = consistency_proof(hash, old_size, size, read).value();
        ASSERT_TRUE(consistency_holds(hash, old_size, size, proof, old_root, root))
            << old_size << " of " << size;
      }
    }
  }
}

RC_GTEST_PROP(Merkle, NoAlteredProofHolds, ()) {
  const auto size = *rc::gen::inRange<std::uint64_t>(2, 200);
  const auto index = *rc::gen::inRange<std::uint64_t>(0, size);
  const TreeHash hash = TreeHash::sha256;
  const std::vector<Digest> leaves = some_leaves(hash, size);
  const NodeReader read = reader_of(hash, leaves);
  const Digest root = naive_root(hash, leaves);
  auto proof = inclusion_proof(hash, index, size, read).value();
  RC_ASSERT(inclusion_holds(hash, leaves[index], index, size, proof, root));
  RC_ASSERT(!inclusion_holds(hash, leaves[index], (index + 1) % size, size, proof, root));
  RC_ASSERT(!inclusion_holds(hash, leaves[(index + 1) % size], index, size, proof, root));
  const auto at = *rc::gen::inRange<std::size_t>(0, proof.size());
  const auto bit = *rc::gen::inRange(0, 256);
  std::vector<Digest> altered = proof;
  altered[at][static_cast<std::size_t>(bit / 8)] ^= static_cast<char>(1 << (bit % 8));
  RC_ASSERT(!inclusion_holds(hash, leaves[index], index, size, altered, root));
  proof.pop_back();
  RC_ASSERT(!inclusion_holds(hash, leaves[index], index, size, proof, root));
  altered = inclusion_proof(hash, index, size, read).value();
  altered.push_back(root);
  RC_ASSERT(!inclusion_holds(hash, leaves[index], index, size, altered, root));
}

TEST(Merkle, ImpossibleQuestionsAreRefused) {
  const std::vector<Digest> leaves = some_leaves(TreeHash::sha256, 4);
  const NodeReader read = reader_of(TreeHash::sha256, leaves);
  EXPECT_EQ(inclusion_proof(TreeHash::sha256, 4, 4, read).error().code, Code::invalid_argument);
  EXPECT_EQ(consistency_proof(TreeHash::sha256, 0, 4, read).error().code, Code::invalid_argument);
  EXPECT_EQ(consistency_proof(TreeHash::sha256, 5, 4, read).error().code, Code::invalid_argument);
  EXPECT_FALSE(inclusion_holds(TreeHash::sha256, leaves[0], 4, 4, {}, leaves[0]));
  EXPECT_FALSE(consistency_holds(TreeHash::sha256, 0, 4, {}, leaves[0], leaves[0]));
}

}  // namespace
}  // namespace deepmoat::transparency
