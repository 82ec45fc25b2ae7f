// Whole logs: what is intact, what a crash leaves, what is tampering, and checkpoints and tiles.
#include "verifier/log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "verifier/log_folder.h"
#include "verifier/scratch_signer.h"
#include "verifier/written_log.h"

namespace deepmoat::verifier {
namespace {

const std::string kOrigin = "deepmoat/test";

LogReport verified(const Folder& folder, const LogOptions& options = {}) {
  auto report = verify_log(folder.path(), options);
  EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
  return report ? *report : LogReport{};
}

class LogOf : public ::testing::Test {
 protected:
  void write_samples(std::uint64_t count) {
    log_.append_samples(count);
    log_.write(folder_);
  }
  void write_checkpoint(std::size_t size, const std::string& name = "checkpoint",
                        bool sm3 = false) {
    folder_.write(name, signer_.note(log_.checkpoint(size, sm3)));
  }
  [[nodiscard]] LogOptions with_key() const { return {.keys = {signer_.key()}}; }
  // Writes a segment as it was but for `bytes` at `offset`.
  void overwrite(std::size_t segment, std::size_t offset, const std::string& bytes) {
    std::string altered = log_.segments[segment];
    altered.replace(offset, bytes.size(), bytes);
    folder_.write(WrittenLog::name(segment + 1), altered);
  }
  void expect_bad_at(const WrittenRecord& record, std::uint64_t sequence) {
    const LogReport report = verified(folder_);
    ASSERT_TRUE(report.bad) << describe(report);
    EXPECT_FALSE(report.intact());
    EXPECT_EQ(report.bad->segment, WrittenLog::name(record.segment + 1));
    EXPECT_EQ(report.bad->sequence, sequence);
    EXPECT_EQ(report.bad->offset, record.offset);
    EXPECT_EQ(report.records, sequence - 1);
    EXPECT_NE(describe(report).find("audit log NOT intact: " + report.bad->segment + ", record " +
                                    std::to_string(sequence)),
              std::string::npos);
  }

  Folder folder_;
  WrittenLog log_;
  ScratchSigner signer_{KeyKind::ed25519, kOrigin};
};

TEST_F(LogOf, ManySegmentsIsIntactWithOneThreadAndWithTwo) {
  write_samples(201);
  ASSERT_GT(log_.segments.size(), 3U);
  folder_.write(WrittenLog::name(log_.segments.size() + 1), std::string(8192, '\0'));
  for (const bool one_thread : {false, true}) {
    const LogReport report = verified(folder_, {.sm3 = true, .one_thread = one_thread});
    ASSERT_TRUE(report.intact()) << describe(report);
    EXPECT_FALSE(report.torn_tail);
    EXPECT_EQ(report.segments, log_.segments.size());
    EXPECT_EQ(report.records, 201U);
    EXPECT_EQ(report.stubs, 0U);
    EXPECT_EQ(report.first_unix_ms, kWrittenFrom + 1);
    EXPECT_EQ(report.last_unix_ms, kWrittenFrom + 201);
    EXPECT_EQ(report.unfinished, 1U);
    EXPECT_EQ(report.unfinished_first, std::vector<std::uint64_t>{201});
    EXPECT_EQ(report.tree_size, 201U);
    EXPECT_EQ(report.root, to_base64(naive_root(log_.leaves())));
    EXPECT_EQ(report.sm3_root, to_base64(naive_root(log_.leaves(EVP_sm3()), EVP_sm3())));
    const std::string text = describe(report);
    EXPECT_NE(text.find("1 call has no result yet (running now, or cut by a crash): 201\n"),
              std::string::npos);
    EXPECT_NE(text.find("\naudit log intact: " + std::to_string(report.segments) +
                        " segments, 201 records, 2023-11-14T22:13:20.001Z to "
                        "2023-11-14T22:13:20.201Z, last hash " +
                        report.last_hash_hex),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("signatures not checked: no key was given\n"), std::string::npos);
  }
}

TEST_F(LogOf, NothingIsIntactAndOfNoFolderIsAnError) {
  EXPECT_TRUE(verified(folder_).intact());
  EXPECT_TRUE(describe(verified(folder_)).ends_with("audit log intact: no records yet"));
  folder_.write(WrittenLog::name(1), std::string(8192, '\0'));
  EXPECT_TRUE(verified(folder_).intact());
  const auto none = verify_log(folder_.path() / "none");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().fault, Fault::not_there);
}

TEST_F(LogOf, AFolderThatIsNoneIsToldFromALogWithoutRecords) {
  const auto refused = [&](const std::filesystem::path& folder) {
    const auto there = require_log(folder);
    EXPECT_FALSE(there);
    EXPECT_EQ(there ? Fault::malformed : there.error().fault, Fault::not_there);
    return there ? "" : there.error().message;
  };
  const std::string name = folder_.path().string();
  folder_.write("deepmoat.db", "no log");
  folder_.write("lock", "");
  EXPECT_EQ(refused(folder_.path()),
            name +
                " holds no audit log (no segment and no checkpoint); name the folder \"audit\" in "
                "the data folder");
  folder_.write("audit/checkpoints/00000000000000000007", "any");
  EXPECT_EQ(refused(folder_.path()), name +
                                         " holds no audit log (no segment and no checkpoint), "
                                         "but " +
                                         name + "/audit does: name that folder");
  EXPECT_NE(refused(folder_.path() / "none").find(name + "/none"), std::string::npos);
  EXPECT_TRUE(require_log(folder_.path() / "audit"));
  for (const std::string& file : {std::string("checkpoint"), WrittenLog::name(2),
                                  WrittenLog::name(1, ".kept"), std::string("audit-x.seg")}) {
    EXPECT_FALSE(holds_log(folder_.path()).value());
    folder_.write(file, "");
    EXPECT_TRUE(holds_log(folder_.path()).value()) << file;
    folder_.remove(file);
  }
  folder_.write(WrittenLog::name(1), std::string(8192, '\0'));
  EXPECT_TRUE(require_log(folder_.path()));
  EXPECT_TRUE(describe(verified(folder_)).ends_with("audit log intact: no records yet"));
}

TEST_F(LogOf, OneOfEachIsNotCountedAsMany) {
  write_samples(1);
  write_checkpoint(1);
  write_checkpoint(0, "checkpoints/00000000000000000000");
  const std::string text = describe(verified(folder_));
  for (const char* part :
       {"1 call has no result yet", "root of 1 record: ", "checkpoint: 1 record, ",
        "checkpoints: 1 earlier one, it does not contradict the log\n",
        "audit log intact: 1 segment, 1 record, "}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  write_samples(2);
  overwrite(0, log_.records[1].offset + 70, "?");
  EXPECT_NE(describe(verified(folder_)).find("\n1 record before it is good\n"), std::string::npos)
      << describe(verified(folder_));
}

TEST_F(LogOf, EverySingleBitFlipIsFound) {
  write_samples(120);
  write_checkpoint(120);
  std::mt19937_64 random(1);
  for (int round = 0; round < 4000; ++round) {
    const std::size_t segment = random() % log_.segments.size();
    const std::size_t bit = random() % (8192 * 8);
    const char was = log_.segments[segment][bit / 8];
    overwrite(segment, bit / 8, std::string(1, static_cast<char>(was ^ (1 << (bit % 8)))));
    const LogReport report = verified(folder_);
    const bool behind_all =
        segment + 1 == log_.segments.size() &&
        bit / 8 >= log_.records.back().offset + log_.records.back().frame.size();
    ASSERT_TRUE(behind_all ? !report.intact() || report.torn_tail : !report.intact())
        << segment << ", bit " << bit << ": " << describe(report);
    for (const WrittenRecord& record : log_.records) {
      const bool hit = record.segment == segment && bit / 8 >= record.offset &&
                       bit / 8 < record.offset + record.frame.size();
      if (hit && &record != &log_.records.back()) {
        const auto sequence = static_cast<std::uint64_t>(&record - log_.records.data()) + 1;
        ASSERT_TRUE(report.bad);
        ASSERT_EQ(report.bad->sequence, sequence);
        ASSERT_EQ(report.bad->offset, record.offset);
      }
    }
    folder_.write(WrittenLog::name(segment + 1), log_.segments[segment]);
  }
}

TEST_F(LogOf, ACutAtAnyByteOfTheLastRecordIsATornTail) {
  write_samples(9);
  const WrittenRecord& last = log_.records.back();
  for (std::size_t cut = 1; cut < last.frame.size(); ++cut) {
    overwrite(0, last.offset + cut, std::string(last.frame.size() - cut, '\0'));
    const LogReport report = verified(folder_);
    ASSERT_TRUE(report.intact()) << cut << describe(report);
    EXPECT_EQ(report.records, 8U);
    // The last bytes of a hash may be zeros themselves.
    if (log_.segments[0]
            .substr(last.offset + cut, last.frame.size() - cut)
            .find_first_not_of('\0') != std::string::npos) {
      ASSERT_TRUE(report.torn_tail) << cut;
      EXPECT_EQ(report.torn_tail->offset, last.offset);
      EXPECT_NE(describe(report).find(": torn tail at offset " + std::to_string(last.offset)),
                std::string::npos);
    }
  }
}

TEST_F(LogOf, OneCommitMayLoseAPageAndTwoMayNot) {
  for (std::uint32_t i = 0; i < 6; ++i) {
    log_.append(sample_body(i + 1), i % 3);  // two commits of three
  }
  log_.write(folder_);
  overwrite(0, log_.records[3].offset, std::string(log_.records[3].frame.size(), '\0'));
  LogReport report = verified(folder_);
  ASSERT_TRUE(report.intact()) << describe(report);
  ASSERT_TRUE(report.torn_tail);
  EXPECT_EQ(report.torn_tail->whole_records, 2U);
  EXPECT_EQ(report.records, 3U);
  overwrite(0, log_.records[2].offset, std::string(log_.records[2].frame.size(), '\0'));
  expect_bad_at(log_.records[2], 3);
}

TEST_F(LogOf, ATornFirstCommitOfTheNextSegmentIsATornTailButNotTwo) {
  write_samples(100);
  const std::size_t last = log_.segments.size() - 1;
  ASSERT_GT(last, 1U);
  std::uint64_t before = 0;
  for (const WrittenRecord& record : log_.records) {
    before += record.segment < last ? 1 : 0;
  }
  std::string torn = log_.segments[last].substr(0, 300);
  torn.resize(8192, '\0');
  torn[5] = '\0';
  folder_.write(WrittenLog::name(last + 1), torn);
  const LogReport report = verified(folder_);
  ASSERT_TRUE(report.intact()) << describe(report);
  ASSERT_TRUE(report.torn_tail);
  EXPECT_EQ(report.torn_tail->segment, WrittenLog::name(last + 1));
  EXPECT_EQ(report.records, before);
  const WrittenRecord& record = log_.records[before - 1];
  overwrite(last - 1, record.offset + 70, "\x01");
  EXPECT_FALSE(verified(folder_).intact());
}

TEST_F(LogOf, ARemovedSwappedOrRewrittenRecordIsNamed) {
  write_samples(20);
  const auto& records = log_.records;
  std::string bytes = log_.segments[0];
  bytes.erase(records[4].offset, records[4].frame.size());
  bytes.append(records[4].frame.size(), '\0');
  folder_.write(WrittenLog::name(1), bytes);
  expect_bad_at(records[4], 5);

  bytes = log_.segments[0];
  ASSERT_EQ(records[4].frame.size(), records[6].frame.size());
  bytes.replace(records[4].offset, records[6].frame.size(), records[6].frame);
  bytes.replace(records[6].offset, records[4].frame.size(), records[4].frame);
  folder_.write(WrittenLog::name(1), bytes);
  expect_bad_at(records[4], 5);

  std::string body = sample_body(5);
  body.replace(body.find("default"), 7, "DEFAULT");
  overwrite(0, records[4].offset, WrittenLog::frame(5, 0, records[3].hash(), body));
  expect_bad_at(records[5], 6);

  overwrite(0, records[9].offset + 2000, records[2].frame);
  EXPECT_FALSE(verified(folder_).intact()) << "a copy of an old record behind the end";
}

TEST_F(LogOf, ABodyThatIsNotCanonicalIsNamed) {
  log_.append_samples(3);
  log_.append(R"({"phase":"intent","operation":"READ","outcome":"pending","tenant":""})");
  log_.append_samples(1);
  log_.write(folder_);
  expect_bad_at(log_.records[3], 4);
}

TEST_F(LogOf, ABodyOfTheFirstVersionHasNoFieldOfTheSecond) {
  log_.append(sample_body(1), 0, 1);
  log_.append(sample_body(2), 0, 1);  // knowledge
  log_.write(folder_);
  expect_bad_at(log_.records[1], 2);
}

TEST_F(LogOf, WhatANewerProgramWroteIsNoTornTail) {
  write_samples(5);
  const WrittenRecord& last = log_.records.back();
  const std::size_t end = last.offset + last.frame.size();
  for (const auto& [version, kind] : {std::pair{3, 1}, {2, 2}, {0, 1}}) {
    overwrite(0, end,
              WrittenLog::frame(6, 0, last.hash(), "tomorrow", static_cast<std::uint16_t>(version),
                                static_cast<std::uint16_t>(kind)));
    const LogReport report = verified(folder_);
    ASSERT_TRUE(report.bad) << describe(report);
    EXPECT_NE(report.bad->why.find("newer"), std::string::npos);
  }
}

TEST_F(LogOf, FilesThatAreMissingOrNotWhatTheyShouldBeAreNamed) {
  write_samples(150);
  ASSERT_GE(log_.segments.size(), 4U);
  const auto restore = [&] { log_.write(folder_); };
  folder_.remove(WrittenLog::name(2));
  LogReport report = verified(folder_);
  ASSERT_TRUE(report.bad);
  EXPECT_NE(report.bad->why.find(WrittenLog::name(2)), std::string::npos);
  restore();
  overwrite(1, 0, std::string(8192, '\0'));
  report = verified(folder_);
  ASSERT_TRUE(report.bad);
  EXPECT_EQ(report.bad->segment, WrittenLog::name(2));
  restore();
  for (const std::size_t bytes : {4096U, 8191U, 12288U}) {
    std::string other = log_.segments[1];
    other.resize(bytes, '\0');
    folder_.write(WrittenLog::name(2), other);
    EXPECT_FALSE(verified(folder_).intact()) << bytes;
  }
  folder_.write(WrittenLog::name(2), log_.segments[2]);
  EXPECT_FALSE(verified(folder_).intact());
  restore();
  EXPECT_TRUE(verified(folder_).intact());
  folder_.write("audit-2.seg", log_.segments[1]);
  EXPECT_FALSE(verified(folder_).intact()) << "named like a segment";
}

// Writes a log as a server does: a frame in two pieces, the later one first, and the next file once
// the first record of the one before it is there.
void write_slowly(const Folder& folder, const WrittenLog& log) {
  const auto make = [&](std::size_t segment) {
    folder.write("new", std::string(log.segments[segment].size(), '\0'));
    std::filesystem::rename(folder.path() / "new", folder.path() / WrittenLog::name(segment + 1));
  };
  make(0);
  for (std::size_t i = 0; i < log.records.size(); ++i) {
    const WrittenRecord& record = log.records[i];
    std::fstream file(folder.path() / WrittenLog::name(record.segment + 1),
                      std::ios::in | std::ios::out | std::ios::binary);
    const auto put = [&](std::size_t from, std::size_t until) {
      file.seekp(static_cast<std::streamoff>(from));
      file << log.segments[record.segment].substr(from, until - from) << std::flush;
    };
    const bool first = i == 0 || log.records[i - 1].segment != record.segment;
    const std::size_t end = record.offset + record.frame.size();
    if (first) {
      put(0, end);
    } else {
      put(end - 50, end);
      put(record.offset, end - 50);
    }
    if (first && record.segment + 1 < log.segments.size()) {
      make(record.segment + 1);
    }
  }
}

TEST_F(LogOf, IsIntactAtEveryMomentWhileItIsWritten) {
  log_ = WrittenLog(32 * 1024);
  log_.append_samples(3000);
  std::atomic<bool> done = false;
  const std::jthread writer([&] {
    write_slowly(folder_, log_);
    done = true;
  });
  std::uint64_t before = 0;
  for (bool last = false; !last;) {
    last = done;
    const LogReport report = verified(folder_);
    ASSERT_TRUE(report.intact()) << describe(report);
    ASSERT_GE(report.records, before);
    before = report.records;
  }
  EXPECT_EQ(before, 3000U);
}

TEST_F(LogOf, ItsCheckpointsAreCompared) {
  write_samples(130);
  write_checkpoint(130, "checkpoint", true);
  write_checkpoint(64, "checkpoints/00000000000000000064");
  write_checkpoint(0, "checkpoints/00000000000000000000");
  LogOptions options = with_key();
  options.checkpoints.push_back({"second place", signer_.note(log_.checkpoint(99))});
  const LogReport report = verified(folder_, options);
  ASSERT_TRUE(report.intact()) << describe(report);
  ASSERT_EQ(report.checkpoints.size(), 4U);
  for (const CheckpointReport& checkpoint : report.checkpoints) {
    EXPECT_EQ(checkpoint.root, RootState::equal);
    EXPECT_EQ(checkpoint.signature, SignatureState::good);
    EXPECT_EQ(checkpoint.sm3_compared, checkpoint.place == CheckpointPlace::newest);
  }
  const std::string text = describe(report);
  EXPECT_NE(text.find("checkpoint: 130 records, its roots are those of the log, signature good\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("checkpoints: 2 earlier ones, none contradicts the log\n"),
            std::string::npos);
  EXPECT_NE(text.find("second place: 99 records, its root is that of the log"), std::string::npos);
}

TEST_F(LogOf, AnotherRootIsBadWhereverTheCheckpointIsFrom) {
  write_samples(130);
  write_checkpoint(130);
  WrittenLog other;
  other.append(sample_body(1), 1);
  other.append_samples(129);
  const std::string contradicting = signer_.note(other.checkpoint(70));
  LogOptions options = with_key();
  options.checkpoints.push_back({"place", contradicting});
  LogReport report = verified(folder_, options);
  EXPECT_FALSE(report.bad);
  EXPECT_FALSE(report.intact());
  EXPECT_NE(describe(report).find("audit log NOT intact: place contradicts it"), std::string::npos)
      << describe(report);
  folder_.write("checkpoints/00000000000000000070", contradicting);
  EXPECT_FALSE(verified(folder_).intact());
  folder_.write("checkpoints/00000000000000000070", signer_.note(log_.checkpoint(71)));
  EXPECT_FALSE(verified(folder_).intact()) << "under another name";
  folder_.remove("checkpoints/00000000000000000070");
  EXPECT_TRUE(verified(folder_).intact());
  std::string sm3 = log_.checkpoint(130) + "sm3 " + to_base64(std::string(32, 'x')) + "\n";
  folder_.write("checkpoint", signer_.note(sm3));
  report = verified(folder_);
  EXPECT_EQ(report.checkpoints[0].root, RootState::different) << "the SM3 root alone";
}

TEST_F(LogOf, ALogThatIsShorterThanACheckpointIsBad) {
  write_samples(20);
  const std::string of_all = signer_.note(log_.checkpoint(20));
  const WrittenRecord& last = log_.records.back();
  overwrite(0, last.offset, std::string(last.frame.size(), '\0'));
  EXPECT_TRUE(verified(folder_).intact()) << "nothing shows it without a checkpoint";
  const LogReport report = verified(folder_, {.checkpoints = {{"place", of_all}}});
  EXPECT_FALSE(report.intact());
  EXPECT_EQ(report.checkpoints[0].root, RootState::log_shorter);
  EXPECT_NE(describe(report).find("place contradicts it: the record 20 is gone; or "
                                  "the checkpoint was altered: no key was given to check it"),
            std::string::npos)
      << describe(report);
}

TEST_F(LogOf, AKeyThatWasGivenMustHaveSigned) {
  write_samples(10);
  EXPECT_FALSE(verified(folder_, with_key()).intact()) << "no checkpoint at all";
  const ScratchSigner stranger(KeyKind::ed25519, kOrigin);
  folder_.write("checkpoint", stranger.note(log_.checkpoint(10)));
  EXPECT_TRUE(verified(folder_).intact());
  const LogReport report = verified(folder_, with_key());
  EXPECT_FALSE(report.intact());
  EXPECT_EQ(report.checkpoints[0].signature, SignatureState::unknown_key);
  write_checkpoint(10);
  EXPECT_TRUE(verified(folder_, with_key()).intact());
  folder_.write("checkpoints/00000000000000000005", stranger.note(log_.checkpoint(5)));
  EXPECT_TRUE(verified(folder_, with_key()).intact()) << "an earlier key of the log";
  std::string forged = folder_.read("checkpoint");
  forged[forged.size() - 20] = forged[forged.size() - 20] == 'A' ? 'B' : 'A';
  folder_.write("checkpoint", forged);
  EXPECT_EQ(verified(folder_, with_key()).checkpoints.back().signature, SignatureState::forged);
  folder_.write("checkpoint", "nonsense");
  EXPECT_FALSE(verified(folder_).intact());
}

TEST_F(LogOf, AForgedCheckpointSaysNothingAboutTheRecords) {
  write_samples(130);
  write_checkpoint(64, "checkpoints/00000000000000000064");
  const std::string good = signer_.note(log_.checkpoint(99));
  const std::string of_log = good.substr(0, good.find("\n\n"));
  WrittenLog other;
  other.append(sample_body(1), 1);
  other.append_samples(499);
  // The same signature over another root, over fewer records and over more than there are.
  for (const std::size_t size : {99U, 50U, 500U}) {
    const std::string text = other.checkpoint(size);
    folder_.write("checkpoint", text + good.substr(of_log.size() + 1));
    const LogReport report = verified(folder_, with_key());
    EXPECT_FALSE(report.intact());
    EXPECT_FALSE(report.bad);
    const std::string said = describe(report);
    EXPECT_NE(said.find("checkpoint: ITS SIGNATURE IS FALSE: it is forged or damaged itself\n"),
              std::string::npos)
        << said;
    EXPECT_TRUE(said.ends_with(
        "audit log NOT intact: checkpoint is forged or damaged itself (its signature is false), "
        "which says nothing about the records; another checkpoint agrees with the records up to "
        "64"))
        << said;
    EXPECT_EQ(said.find("as it was signed"), std::string::npos) << said;
    EXPECT_EQ(said.find("gone"), std::string::npos) << said;
  }
}

TEST_F(LogOf, TheOtherCheckpointsCountBesideAForgedOne) {
  write_samples(130);
  const std::string good = signer_.note(log_.checkpoint(20));
  folder_.write("checkpoint", "deepmoat/test\n21" + good.substr(good.find("\n20\n") + 3));
  WrittenLog other;
  other.append(sample_body(1), 1);
  other.append_samples(129);
  LogOptions options = with_key();
  options.checkpoints.push_back({"place", signer_.note(other.checkpoint(70))});
  const std::string said = describe(verified(folder_, options));
  EXPECT_NE(said.find("checkpoint: ITS SIGNATURE IS FALSE"), std::string::npos) << said;
  EXPECT_TRUE(
      said.ends_with("audit log NOT intact: place contradicts it: a record up to 70 is not "
                     "as it was signed"))
      << said;
}

TEST_F(LogOf, ACheckpointThatIsDamagedOrOfAnotherKeyBlamesNoRecord) {
  write_samples(130);
  WrittenLog other;
  other.append(sample_body(1), 1);
  other.append_samples(129);
  folder_.write("checkpoint", "nonsense");
  EXPECT_TRUE(
      describe(verified(folder_))
          .ends_with(
              "checkpoint is forged or damaged itself (not a signed note: no empty line before its "
              "signatures), which says nothing about the records"))
      << describe(verified(folder_));
  const ScratchSigner stranger(KeyKind::ed25519, kOrigin);
  folder_.write("checkpoint", stranger.note(other.checkpoint(99)));
  const LogReport report = verified(folder_, with_key());
  EXPECT_FALSE(report.intact());
  EXPECT_TRUE(
      describe(report).ends_with("checkpoint is not signed by the keys that were given, and "
                                 "either it or the records are not as they were"))
      << describe(report);
}

TEST_F(LogOf, ACheckpointBehindABadRecordIsNotReached) {
  write_samples(10);
  write_checkpoint(8);
  overwrite(0, log_.records[2].offset + 70, "?");
  const LogReport report = verified(folder_);
  ASSERT_TRUE(report.bad);
  EXPECT_EQ(report.checkpoints[0].root, RootState::not_reached);
}

// Tiles by their definition: level by level, 256 hashes each.
void write_tiles(const Folder& folder, const WrittenLog& log, const std::string& root,
                 const EVP_MD* algorithm, std::size_t size) {
  std::vector<std::string> hashes = log.leaves(algorithm);
  hashes.resize(size);
  for (unsigned level = 0; !hashes.empty(); ++level) {
    std::vector<std::string> above;
    for (std::size_t i = 0; i < hashes.size(); i += 256) {
      const std::size_t width = std::min<std::size_t>(256, hashes.size() - i);
      std::string bytes;
      for (std::size_t k = i; k < i + width; ++k) {
        bytes += hashes[k];
      }
      folder.write(tile_path(root, level, i / 256, width % 256), bytes);
      if (width == 256) {
        above.push_back(naive_root(std::span(hashes).subspan(i, width), algorithm));
      }
    }
    hashes = above;
  }
}

TEST(TilePath, IsThatOfTlogTiles) {
  EXPECT_EQ(tile_path("tile", 0, 0), "tile/0/000");
  EXPECT_EQ(tile_path("tile", 3, 1'234'067), "tile/3/x001/x234/067");
  EXPECT_EQ(tile_path("tile-sm3", 1, 1000, 12), "tile-sm3/1/x001/000.p/12");
}

TEST_F(LogOf, TilesAreComparedWhenAskedFor) {
  log_ = WrittenLog(1024 * 1024);
  write_samples(600);
  write_checkpoint(590);
  write_tiles(folder_, log_, "tile", EVP_sha256(), 590);
  write_tiles(folder_, log_, "tile-sm3", EVP_sm3(), 590);
  LogReport report = verified(folder_, {.tiles = true});
  ASSERT_TRUE(report.intact()) << describe(report);
  ASSERT_TRUE(report.tiles && report.sm3_tiles);
  EXPECT_EQ(report.tiles->equal, 4U) << "two full ones, and the right edge of two levels";
  EXPECT_EQ(report.sm3_tiles->equal, 4U);
  for (const char* name : {"tile/0/000", "tile/0/001", "tile/0/002.p/78", "tile/1/000.p/2",
                           "tile-sm3/0/001", "tile-sm3/1/000.p/2"}) {
    const std::string good = folder_.read(name);
    ASSERT_FALSE(good.empty()) << name;
    std::string altered = good;
    altered[33] ^= 1;
    for (const std::string& bytes : {altered, good.substr(0, good.size() - 32), good + "x"}) {
      folder_.write(name, bytes);
      EXPECT_FALSE(verified(folder_, {.tiles = true}).intact()) << name;
      EXPECT_TRUE(verified(folder_).intact()) << "not asked for";
    }
    folder_.remove(name);
    report = verified(folder_, {.tiles = true});
    EXPECT_FALSE(report.intact()) << name;
    EXPECT_NE(describe(report).find(name), std::string::npos) << describe(report);
    folder_.write(name, good);
  }
}

TEST_F(LogOf, TilesAreNotHeldAgainstAForgedCheckpoint) {
  log_ = WrittenLog(1024 * 1024);
  write_samples(600);
  write_checkpoint(590, "checkpoints/00000000000000000590");
  write_tiles(folder_, log_, "tile", EVP_sha256(), 590);
  const std::string good = folder_.read("checkpoints/00000000000000000590");
  folder_.write("checkpoint", "deepmoat/test\n599" + good.substr(good.find("\n590\n") + 4));
  LogOptions options = with_key();
  options.tiles = true;
  LogReport report = verified(folder_, options);
  ASSERT_EQ(report.checkpoints.back().signature, SignatureState::forged);
  EXPECT_TRUE(report.tiles && report.tiles->good()) << describe(report);
  folder_.remove("tile/0/002.p/78");
  report = verified(folder_, options);
  EXPECT_FALSE(report.tiles && report.tiles->good()) << "the earlier checkpoint rests on it";
}

TEST_F(LogOf, APartialTileMayHaveBecomeAWiderOne) {
  log_ = WrittenLog(1024 * 1024);
  write_samples(600);
  write_checkpoint(300);
  write_tiles(folder_, log_, "tile", EVP_sha256(), 590);
  const LogReport report = verified(folder_, {.tiles = true});
  EXPECT_TRUE(report.intact()) << describe(report);
  write_checkpoint(580);
  EXPECT_TRUE(verified(folder_, {.tiles = true}).intact());
  std::string altered = folder_.read("tile/0/002.p/78");
  altered[0] ^= 1;
  folder_.write("tile/0/002.p/78", altered);
  EXPECT_FALSE(verified(folder_, {.tiles = true}).intact());
}

}  // namespace
}  // namespace deepmoat::verifier
