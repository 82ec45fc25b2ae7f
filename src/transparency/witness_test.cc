// A witness takes what continues, and nothing else.
#include "transparency/witness.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/scratch_folder.h"
#include "transparency/tile_store.h"

namespace deepmoat::transparency {
namespace {

NoteSigner make_signer(const std::string& name, char seed) {
  auto key = crypto::SigningKey::from_seed(Secret::copy_of(std::string(32, seed)));
  return NoteSigner::make(name, std::move(*key), std::nullopt).value();
}

// A log that can be another one from some record on.
class GrownLog {
 public:
  GrownLog(const std::filesystem::path& folder, std::uint64_t size, std::uint64_t other_from = 0)
      : tiles_(folder) {
    for (std::uint64_t i = 0; i < size; ++i) {
      const bool other = other_from != 0 && i + 1 >= other_from;
      tree_.append(leaf_hash(TreeHash::sha256, std::to_string(i) + (other ? "!" : "")),
                   [this](Tile tile) { tiles_.add(std::move(tile)); });
    }
  }
  [[nodiscard]] TreeView view() const {
    return {TreeHash::sha256, tree_.size(), tree_.edge(), tiles_};
  }
  [[nodiscard]] NextCheckpoint next(const NoteSigner& signer, std::uint64_t old_size,
                                    std::uint64_t size) const {
    const Checkpoint checkpoint{
        .origin = "deepmoat/a", .size = size, .root = view().root(size).value()};
    NextCheckpoint next{.old_size = old_size, .proof = {}, .note = {}};
    next.note = signer.sign(checkpoint_text(checkpoint)).value();
    if (old_size > 0 && old_size <= size) {
      next.proof = view().consistency(old_size, size).value();
    }
    return next;
  }

 private:
  TileStore tiles_;
  Tree tree_{TreeHash::sha256};
};

class WitnessTest : public ::testing::Test {
 protected:
  WitnessVerdict add(const NextCheckpoint& next) {
    const auto answer = witness_->add(next);
    EXPECT_TRUE(answer) << answer.error().message;
    return answer->verdict;
  }

  ScratchFolder folder_;
  NoteSigner signer_ = make_signer("deepmoat/a", 'a');
  std::unique_ptr<Witness> witness_ =
      Witness::open(folder_ / "kept", {NoteVerifier::parse(signer_.verifier_key()).value()})
          .value();
  GrownLog log_{folder_ / "tiles", 900};
};

TEST_F(WitnessTest, TakesALogThatGrows) {
  EXPECT_EQ(witness_->newest("deepmoat/a").value(), std::nullopt);
  std::uint64_t before = 0;
  for (const std::uint64_t size : {1UL, 7UL, 256UL, 300UL, 300UL, 900UL}) {
    const NextCheckpoint next = log_.next(signer_, before, size);
    EXPECT_EQ(add(next), WitnessVerdict::taken) << before << " to " << size;
    EXPECT_EQ(witness_->newest("deepmoat/a").value(), next.note);
    before = size;
  }
}

TEST_F(WitnessTest, AnotherLogOfTheSameKeyIsNotTaken) {
  ASSERT_EQ(add(log_.next(signer_, 0, 300)), WitnessVerdict::taken);
  // Who has the machine and its keys signs what he likes.
  const GrownLog other(folder_ / "other", 900, 200);
  EXPECT_EQ(add(other.next(signer_, 300, 900)), WitnessVerdict::inconsistent);
  EXPECT_EQ(add(other.next(signer_, 300, 300)), WitnessVerdict::inconsistent);
  EXPECT_EQ(add(other.next(signer_, 0, 900)), WitnessVerdict::other_size) << "nor as a new one";
  NextCheckpoint without = log_.next(signer_, 300, 900);
  without.proof.clear();
  EXPECT_EQ(add(without), WitnessVerdict::inconsistent);
  // It differs only behind what was kept.
  const GrownLog later(folder_ / "later", 900, 301);
  EXPECT_EQ(add(later.next(signer_, 300, 900)), WitnessVerdict::taken);
}

TEST_F(WitnessTest, ASmallerOneSaysWhatIsKept) {
  ASSERT_EQ(add(log_.next(signer_, 0, 300)), WitnessVerdict::taken);
  const auto answer = witness_->add(log_.next(signer_, 300, 200));
  EXPECT_EQ(answer->verdict, WitnessVerdict::other_size);
  EXPECT_EQ(answer->size, 300U);
}

TEST_F(WitnessTest, StrangersAndForgersAreTold) {
  const NoteSigner stranger = make_signer("deepmoat/b", 'a');
  NextCheckpoint next = log_.next(signer_, 0, 5);
  const std::string text = parse_note(next.note)->text;
  const NextCheckpoint forged{
      .old_size = 0, .proof = {}, .note = make_signer("deepmoat/a", 'x').sign(text).value()};
  EXPECT_EQ(add(forged), WitnessVerdict::not_signed);
  next.note = stranger.sign("deepmoat/b" + text.substr(text.find('\n'))).value();
  EXPECT_EQ(add(next), WitnessVerdict::unknown_log);
  EXPECT_EQ(witness_->newest("deepmoat/b").error().code, Code::not_found);
  next.note = "nothing";
  EXPECT_EQ(witness_->add(next).error().code, Code::invalid_argument);
}

// Who may ask does not replace what the log has signed, by the same with other lines beside it.
TEST_F(WitnessTest, OfTwoNotesForOneTreeTheFirstStays) {
  const NextCheckpoint first = log_.next(signer_, 0, 5);
  ASSERT_EQ(add(first), WitnessVerdict::taken);
  NextCheckpoint again = log_.next(signer_, 5, 5);
  again.note += "\u2014 somebody AAAAAAAAAAAA\n";
  EXPECT_EQ(add(again), WitnessVerdict::taken);
  EXPECT_EQ(witness_->newest("deepmoat/a").value(), first.note);
}

TEST_F(WitnessTest, TwoLogsOfOneFileAreRefused) {
  const auto open = [&](const std::string& a, const std::string& b) {
    return Witness::open(folder_ / "two",
                         {NoteVerifier::parse(make_signer(a, 'a').verifier_key()).value(),
                          NoteVerifier::parse(make_signer(b, 'b').verifier_key()).value()});
  };
  EXPECT_EQ(open("x/llm", "x/llm").error().code, Code::invalid_argument);
  EXPECT_EQ(open("x/llm", "x_llm").error().code, Code::invalid_argument);
  EXPECT_TRUE(open("x/llm", "y/llm"));
}

TEST_F(WitnessTest, ADamagedFileIsNoReasonToBeginAnew) {
  ASSERT_EQ(add(log_.next(signer_, 0, 5)), WitnessVerdict::taken);
  std::ofstream(folder_ / "kept" / "deepmoat_a.checkpoint", std::ios::trunc) << "x";
  EXPECT_EQ(witness_->add(log_.next(signer_, 0, 9)).error().code, Code::corrupt);
}

TEST(NextCheckpoint, GoesBothWaysAndIsStrict) {
  const ScratchFolder folder;
  const GrownLog log(folder.path(), 300);
  const NextCheckpoint next = log.next(make_signer("deepmoat/a", 'a'), 257, 300);
  ASSERT_GT(next.proof.size(), 2U);
  const std::string body = next_checkpoint_body(next);
  const auto back = parse_next_checkpoint(body);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->old_size, 257U);
  EXPECT_EQ(back->proof, next.proof);
  EXPECT_EQ(back->note, next.note);
  EXPECT_TRUE(parse_next_checkpoint("old 0\n\nnote")->proof.empty());
  for (const std::string bad :
       {"", "old 5", "old 5\n", "old\n\nx", "old -1\n\nx", "old 5 \n\nx", "new 5\n\nx",
        "old 5\nAAAA\n\nx", "old 5\n!\n\nx", "old 99999999999999999999\n\nx"}) {
    EXPECT_EQ(parse_next_checkpoint(bad).error().code, Code::invalid_argument) << bad;
  }
}

TEST(NoteVerifier, TakesOneSpellingOfAKey) {
  const NoteSigner signer = make_signer("deepmoat/a", 'a');
  const std::string key = signer.verifier_key();
  ASSERT_TRUE(NoteVerifier::parse(key));
  EXPECT_TRUE(NoteVerifier::parse(key)->open(signer.sign("x\n").value()));
  for (std::size_t i = 0; i < key.size(); ++i) {
    std::string altered = key;
    altered[i] = altered[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(NoteVerifier::parse(altered)) << altered;
    EXPECT_FALSE(NoteVerifier::parse(key.substr(0, i))) << i;
  }
}

}  // namespace
}  // namespace deepmoat::transparency
