// The tree against known answers and against the definition of RFC 6962.
#include "verifier/merkle.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>

#include "verifier/bytes.h"
#include "verifier/written_log.h"

namespace deepmoat::verifier {
namespace {

// The test leaves of the certificate-transparency project and the roots of their first n.
const std::vector<std::string> kLeaves{
    "",
    std::string(1, '\0'),
    "\x10",
    "\x20\x21",
    "\x30\x31",
    "\x40\x41\x42\x43",
    "\x50\x51\x52\x53\x54\x55\x56\x57",
    "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f"};
const std::vector<std::string> kRoots{
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

Digest digest_of(const std::string& bytes) {
  Digest digest;
  std::memcpy(digest.data(), bytes.data(), digest.size());
  return digest;
}

std::vector<Digest> digests_of(const std::vector<std::string>& hashes) {
  std::vector<Digest> digests;
  for (const std::string& hash : hashes) {
    digests.push_back(digest_of(hash));
  }
  return digests;
}

std::vector<std::string> some_leaves(std::size_t count) {
  std::vector<std::string> leaves;
  for (std::size_t i = 0; i < count; ++i) {
    leaves.push_back(leaf_hash("leaf " + std::to_string(i)));
  }
  return leaves;
}

TEST(Merkle, RootsOfTheTestLeavesAreTheKnownOnes) {
  CompactRange tree(Algorithm::sha256);
  EXPECT_EQ(to_hex(view(tree.root())), kRoots[0]);
  for (std::size_t i = 0; i < kLeaves.size(); ++i) {
    tree.add_leaf(kLeaves[i]);
    EXPECT_EQ(to_hex(view(tree.root())), kRoots[i + 1]) << i;
  }
}

TEST(Merkle, Sm3IsThatOfTheStandard) {
  const TreeHasher hasher(Algorithm::sm3);
  EXPECT_EQ(to_hex(view(hasher.nothing())),
            "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b");
  EXPECT_EQ(view(hasher.leaf("abc")), leaf_hash("abc", EVP_sm3()));
  EXPECT_EQ(view(hasher.leaf("abc")), leaf_hash("abc", EVP_sm3())) << "the context starts anew";
}

TEST(Merkle, TheCompactRangeIsTheRecursiveDefinition) {
  rc::check([] {
    const auto leaves = some_leaves(*rc::gen::inRange<std::size_t>(0, 400));
    for (const Algorithm algorithm : {Algorithm::sha256, Algorithm::sm3}) {
      CompactRange tree(algorithm);
      for (const std::string& leaf : leaves) {
        tree.add_leaf_hash(digest_of(leaf));
      }
      RC_ASSERT(view(tree.root()) ==
                naive_root(leaves, algorithm == Algorithm::sm3 ? EVP_sm3() : EVP_sha256()));
    }
  });
}

TEST(Merkle, EveryInclusionProofOfASmallTreeHolds) {
  const TreeHasher hasher(Algorithm::sha256);
  for (std::size_t size = 1; size <= 40; ++size) {
    const auto leaves = some_leaves(size);
    const Digest root = digest_of(naive_root(leaves));
    for (std::size_t i = 0; i < size; ++i) {
      const auto proof = digests_of(naive_path(i, leaves));
      EXPECT_TRUE(included(hasher, i, size, digest_of(leaves[i]), proof, root));
      EXPECT_FALSE(included(hasher, i, size, digest_of(leaves[i]), proof, Digest{}));
      EXPECT_FALSE(included(hasher, i + size, size, digest_of(leaves[i]), proof, root));
    }
  }
}

TEST(Merkle, AProofDoesNotHoldForAnotherPlaceLeafOrPath) {
  rc::check([] {
    const TreeHasher hasher(Algorithm::sha256);
    const auto size = *rc::gen::inRange<std::size_t>(2, 300);
    const auto leaves = some_leaves(size);
    const auto i = *rc::gen::inRange<std::size_t>(0, size);
    const auto other = *rc::gen::inRange<std::size_t>(0, size);
    const Digest root = digest_of(naive_root(leaves));
    auto proof = digests_of(naive_path(i, leaves));
    const Digest leaf = digest_of(leaves[i]);
    RC_ASSERT(included(hasher, other, size, leaf, proof, root) == (other == i));
    RC_ASSERT(included(hasher, i, size, digest_of(leaves[other]), proof, root) == (other == i));
    auto altered = proof;
    altered[*rc::gen::inRange<std::size_t>(0, proof.size())][5] ^= 1;
    RC_ASSERT(!included(hasher, i, size, leaf, altered, root));
    altered = proof;
    altered.push_back(leaf);
    RC_ASSERT(!included(hasher, i, size, leaf, altered, root));
    proof.pop_back();
    RC_ASSERT(!included(hasher, i, size, leaf, proof, root));
  });
}

}  // namespace
}  // namespace deepmoat::verifier
