// What retention leaves of a segment: stubs in the chain and in the trees.
#include <gtest/gtest.h>

#include "verifier/log.h"
#include "verifier/scratch_signer.h"
#include "verifier/written_log.h"

namespace deepmoat::verifier {
namespace {

class Kept : public ::testing::Test {
 protected:
  Kept() {
    log_.append_samples(150);
    log_.write(folder_);
    for (std::uint64_t i = 1; i <= log_.records.size(); ++i) {
      (log_.records[i - 1].segment == 0   ? in_first_
       : log_.records[i - 1].segment == 1 ? in_second_
                                          : behind_)
          .push_back(i);
    }
  }
  void keep(std::size_t number, const std::string& bytes) {
    folder_.write(WrittenLog::name(number, ".kept"), bytes);
    folder_.remove(WrittenLog::name(number));
  }
  LogReport verified(const LogOptions& options = {}) {
    auto report = verify_log(folder_.path(), options);
    EXPECT_TRUE(report.has_value());
    return report ? *report : LogReport{};
  }
  // Puts the right hash at the end, as one who alters a file would.
  static std::string sealed(std::string bytes) {
    bytes.resize(bytes.size() - 32);
    return bytes + digest(EVP_sha256(), bytes);
  }

  Folder folder_;
  WrittenLog log_;
  std::vector<std::uint64_t> in_first_;
  std::vector<std::uint64_t> in_second_;
  std::vector<std::uint64_t> behind_;
};

TEST_F(Kept, StubsKeepTheChainAndTheRoots) {
  keep(1, log_.kept(1, in_first_));
  keep(2, log_.kept(2, {in_second_[0], in_second_[3], in_second_.back()}));
  const ScratchSigner signer(KeyKind::ed25519, "deepmoat/test");
  folder_.write("checkpoint", signer.note(log_.checkpoint(150, true)));
  folder_.write("checkpoints/00000000000000000007", signer.note(log_.checkpoint(7)));
  const LogReport report = verified({.keys = {signer.key()}});
  ASSERT_TRUE(report.intact()) << describe(report);
  EXPECT_EQ(report.stubs, in_first_.size() + 3);
  EXPECT_EQ(report.records, 150U);
  EXPECT_EQ(report.segments, log_.segments.size());
  EXPECT_EQ(report.first_unix_ms, kWrittenFrom + 1);
  EXPECT_EQ(report.root, to_base64(naive_root(log_.leaves())));
  EXPECT_EQ(report.sm3_root, to_base64(naive_root(log_.leaves(EVP_sm3()), EVP_sm3())));
  EXPECT_TRUE(report.checkpoints.back().sm3_compared);
  EXPECT_NE(describe(report).find(std::to_string(report.stubs) + " records have no body any more"),
            std::string::npos);
}

TEST_F(Kept, ASegmentBesideItCountsAsDeleted) {
  folder_.write(WrittenLog::name(2, ".kept"), log_.kept(2, in_second_));
  folder_.write(WrittenLog::name(2), "half deleted");
  const LogReport report = verified();
  EXPECT_TRUE(report.intact()) << describe(report);
  EXPECT_EQ(report.stubs, in_second_.size());
}

TEST_F(Kept, EveryAlteredByteIsFound) {
  const std::string good = log_.kept(2, {in_second_[1], in_second_[2]});
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string altered = good;
    altered[at] = static_cast<char>(altered[at] ^ 4);
    keep(2, altered);
    const LogReport report = verified();
    ASSERT_TRUE(report.bad) << at << describe(report);
    // The reserved bytes of its header are under the header's own hash, so it is found there.
    ASSERT_EQ(report.bad->segment, at < 128 && report.bad->segment == WrittenLog::name(2)
                                       ? WrittenLog::name(2)
                                       : WrittenLog::name(2, ".kept"));
  }
}

TEST_F(Kept, AStubWithAnotherHashBreaksTheChainOrTheRoots) {
  const std::string good = log_.kept(2, {in_second_[1]});
  const std::size_t stub = good.find(
      "\xd7"
      "DMS");
  const ScratchSigner signer(KeyKind::ed25519, "deepmoat/test");
  folder_.write("checkpoint", signer.note(log_.checkpoint(150, true)));
  std::string altered = good;
  altered[stub + 96] ^= 1;  // the frame's hash
  keep(2, sealed(altered));
  EXPECT_TRUE(verified().bad);
  for (const std::size_t field : {32U, 64U}) {  // the leaf hashes
    altered = good;
    altered[stub + field] ^= 1;
    keep(2, sealed(altered));
    const LogReport report = verified();
    EXPECT_FALSE(report.bad);
    EXPECT_FALSE(report.intact());
    EXPECT_EQ(report.checkpoints[0].root, RootState::different);
  }
  altered = good;
  altered[stub + 16] ^= 1;  // the time, which nothing proves
  keep(2, sealed(altered));
  EXPECT_TRUE(verified().intact());
}

TEST_F(Kept, MissingRepeatedAndForeignPartsAreFound) {
  const std::string good = log_.kept(2, {in_second_[1]});
  const std::size_t stub = good.find(
      "\xd7"
      "DMS");
  const std::size_t end = good.size() - 48;
  std::string without = good;
  without.erase(stub, 128);
  const std::string twice = good.substr(0, stub + 128) + good.substr(stub);
  std::string reserved = good;
  reserved[stub + 24] = 1;
  std::string length = good;
  length[stub + 6] = 1;
  std::string count = good;
  count[end + 8] ^= 1;
  std::string end_reserved = good;
  end_reserved[end + 4] = 1;
  for (const std::string& altered : {without, twice, reserved, length, count, end_reserved}) {
    keep(2, sealed(altered));
    EXPECT_TRUE(verified().bad);
  }
  for (const std::string& altered :
       {good + "x", good + std::string(8, '\0'), good.substr(0, end), good.substr(0, 128),
        good.substr(0, 100), std::string(), log_.kept(3, {}), log_.segments[1]}) {
    keep(2, altered);
    EXPECT_TRUE(verified().bad);
  }
  keep(2, good);
  EXPECT_TRUE(verified().intact());
}

TEST_F(Kept, TheLastSegmentIsNeverOne) {
  const std::size_t last = log_.segments.size();
  keep(last, log_.kept(last, {150}));
  const LogReport report = verified();
  ASSERT_TRUE(report.bad);
  EXPECT_EQ(report.bad->segment, WrittenLog::name(last, ".kept"));
}

TEST_F(Kept, WithoutItsSm3HashThereIsNoSm3Root) {
  keep(1, log_.kept(1, {4}, false));
  const LogReport report = verified({.sm3 = true});
  EXPECT_TRUE(report.intact()) << describe(report);
  EXPECT_EQ(report.sm3_root, "");
  EXPECT_EQ(report.sm3_lost_at, 4U);
  EXPECT_NE(describe(report).find("SM3 roots not checked from record 4 on"), std::string::npos);
}

}  // namespace
}  // namespace deepmoat::verifier
