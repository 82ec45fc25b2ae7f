#include "scheduler/prefix_tree.h"

#include <gtest/gtest.h>

#include <random>

#include "scheduler/naive_prefixes.h"
#include "scheduler/prefix_key.h"

namespace deepmoat::scheduler {
namespace {

// The longest prefix of the line that a source has, in tokens.
std::uint32_t shared_with_sources(const PrefixTree& tree, PrefixTree::Line line) {
  std::uint32_t longest = 0;
  tree.climb(line, [&](const PrefixTree::Point& point) {
    longest = point.sources.empty() ? 0 : point.tokens;
    return point.sources.empty();
  });
  return longest;
}

TEST(PrefixTree, GivesTheSameAsTheSlowWay) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::uint8_t> bytes(400);
    for (std::uint8_t& byte : bytes) {
      byte = static_cast<std::uint8_t>(random());
    }
    ASSERT_EQ(PrefixComparison().run(bytes), "") << "round " << round;
  }
}

TEST(PrefixTree, SplitsWhereLinesPartAndClosesUpAgain) {
  PrefixTree tree;
  const auto a = tree.add_source(std::vector<Token>{1, 2, 3, 4}, 7);
  EXPECT_EQ(tree.nodes(), 2U);
  const auto b = tree.add_want(std::vector<Token>{1, 2, 5});
  EXPECT_EQ(tree.nodes(), 4U);
  EXPECT_EQ(shared_with_sources(tree, b), 2U);
  tree.remove(b);
  EXPECT_EQ(tree.nodes(), 2U);
  EXPECT_EQ(tree.tokens(a), 4U);
  tree.remove(a);
  EXPECT_EQ(tree.nodes(), 1U);
}

class PrefixKeys : public testing::Test {
 protected:
  // What a prompt shares with another one that is in memory.
  std::uint32_t shared(AdapterId adapter, std::uint32_t open, const std::string& salt,
                       AdapterId its_adapter, std::uint32_t its_open, const std::string& its_salt) {
    const std::vector<Token> tokens{5, 6, 7, 8, 9};
    PrefixTree tree;
    (void)tree.add_source(path_of(its_adapter, its_open, salts_.mark_of(its_salt), tokens), 1);
    return shared_with_sources(tree,
                               tree.add_want(path_of(adapter, open, salts_.mark_of(salt), tokens)));
  }

 private:
  SaltMarks salts_;
};

TEST_F(PrefixKeys, OneSaltAndAdapterShareAll) {
  EXPECT_EQ(shared(0, 0, "a", 0, 0, "a"), 5U);
  EXPECT_EQ(shared(3, 2, "a", 3, 2, "a"), 5U);
}

TEST_F(PrefixKeys, OtherSaltsShareThePublicTokensOnly) {
  EXPECT_EQ(shared(0, 0, "a", 0, 0, "b"), 0U);
  EXPECT_EQ(shared(0, 3, "a", 0, 3, "b"), 3U);
  EXPECT_EQ(shared(0, 3, "a", 0, 0, "b"), 0U) << "only one of them calls them public";
  EXPECT_EQ(shared(0, 2, "a", 0, 4, "b"), 2U);
}

TEST_F(PrefixKeys, OtherAdaptersShareNothing) {
  EXPECT_EQ(shared(1, 0, "a", 0, 0, "a"), 0U);
  EXPECT_EQ(shared(1, 3, "a", 2, 3, "a"), 0U);
}

TEST(SaltMarks, NoMarkIsEverUsedTwice) {
  SaltMarks salts;
  std::set<Token> marks;
  for (int i = 0; i < 10'000; ++i) {
    const Token mark = salts.mark_of(std::to_string(i));
    EXPECT_LT(mark, 0);
    EXPECT_TRUE(marks.insert(mark).second);
    EXPECT_EQ(salts.mark_of(std::to_string(i)), mark);
  }
}

}  // namespace
}  // namespace deepmoat::scheduler
