// Texts that are over go, hashes stay: the chain, the roots and all other proofs hold afterwards.
#include "audit/retention.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "audit/checkpointer.h"
#include "audit/scratch_log.h"

namespace deepmoat::audit {
namespace {

namespace fs = std::filesystem;

constexpr UnixMillis kStart = 1'700'000'000'000;

const RetentionPolicy kPolicy{
    .days = 190, .personal_days = 1096, .medical_days = 2192, .medical_tenants = {"clinic"}};

transparency::NoteSigner make_signer() {
  auto key = crypto::SigningKey::from_seed(Secret::copy_of(std::string(32, 'k')));
  return transparency::NoteSigner::make("deepmoat/test", std::move(*key), std::nullopt).value();
}

Record call(const std::string& tenant, const std::string& data_class) {
  Record record = sample_record(1);
  record.tenant = tenant;
  record.data_class = data_class;
  record.operator_id = "alice";
  return record;
}

// Moved by the test while the checkpointer's thread looks at it.
class MovingClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis unix_ms() const override { return kStart + passed_ms_; }
  [[nodiscard]] MonoNanos mono_ns() const override { return passed_ms_ * 1'000'000; }
  void advance_ms(std::int64_t ms) { passed_ms_ += ms; }

 private:
  std::atomic<std::int64_t> passed_ms_ = 0;
};

class RetentionTest : public ::testing::Test {
 protected:
  // A day a record: shop's calls, some of them sensitive, and the clinic's.
  void write_days(int days) {
    LogOptions options{.directory = folder_.log(), .segment_bytes = kSegmentBytesMin};
    options.known_checkpoints = known_checkpoints(folder_.log(), {}, signer_).value();
    const auto log = Log::open(options, clock_).value();
    Checkpointer checkpointer(*log, signer_, {}, clock_);
    for (int i = 0; i < days; ++i) {
      const Record record = i % 3 == 0   ? call("shop", "internal")
                            : i % 3 == 1 ? call("shop", "sensitive")
                                         : call("clinic", "public");
      ASSERT_TRUE(log->append_and_wait(record));
      clock_.advance_ms(kDayMs);
    }
    ASSERT_TRUE(checkpointer.covering(log->tree().size()));
  }
  Result<RetentionReport> run(const Held& held = nullptr, bool dry_run = false) {
    removed_.clear();
    auto report = delete_expired({.directory = folder_.log(),
                                  .now_ms = clock_.unix_ms(),
                                  .last_run_ms = last_run_ms_,
                                  .dry_run = dry_run,
                                  .disk = disk_},
                                 kPolicy, held, [&](const std::vector<std::uint64_t>& sequences) {
                                   removed_.insert(sequences.begin(), sequences.end());
                                   return on_removed_;
                                 });
    return report;
  }
  // What is left of the texts, by the verifier and by the reader, which must agree.
  verifier::LogReport checked(std::uint64_t records, std::uint64_t stubs) {
    verifier::LogOptions options;
    options.keys = {verifier::parse_key(signer_.verifier_key()).value()};
    options.tiles = true;
    const auto report = verifier::verify_log(folder_.log(), options).value();
    EXPECT_TRUE(report.intact()) << describe(report);
    EXPECT_EQ(report.records, records);
    EXPECT_EQ(report.stubs, stubs);
    EXPECT_EQ(all_entries(folder_).size(), records - stubs);
    return report;
  }

  ScratchFolder folder_;
  MovingClock clock_;
  transparency::NoteSigner signer_ = make_signer();
  Disk* disk_ = &system_disk();
  UnixMillis last_run_ms_ = 0;
  std::set<std::uint64_t> removed_;
  Result<> on_removed_;
};

TEST(RetentionPolicy, TheLongestOfWhatAppliesCounts) {
  EXPECT_EQ(kPolicy.days_of(call("shop", "internal")), 190);
  EXPECT_EQ(kPolicy.days_of(call("shop", "sensitive")), 1096);
  EXPECT_EQ(kPolicy.days_of(call("shop", "restricted")), 1096);
  EXPECT_EQ(kPolicy.days_of(call("clinic", "public")), 2192);
  Record change = call("shop", "");
  change.operation = Operation::erase;
  EXPECT_EQ(kPolicy.days_of(change), 1096);
  change.operation = Operation::read;
  EXPECT_EQ(kPolicy.days_of(change), 190);
}

TEST_F(RetentionTest, NothingGoesBeforeItsTime) {
  write_days(185);
  const RetentionReport report = run().value();
  EXPECT_EQ(report.removed, 0U);
  checked(185, 0);
}

TEST_F(RetentionTest, WhatIsOverGoesAndAllProofsHold) {
  write_days(300);
  const std::string root = checked(300, 0).root;
  const RetentionReport report = run().value();
  EXPECT_GT(report.removed, 20U);
  EXPECT_EQ(report.removed, removed_.size());
  EXPECT_GT(report.bytes_freed, 0U);
  for (const std::uint64_t sequence : removed_) {
    EXPECT_EQ((sequence - 1) % 3, 0U) << "only internal calls";
    EXPECT_LE(sequence - 1, 300U - 190U);
  }
  EXPECT_TRUE(fs::exists(folder_.log() / kept_name(1)));
  EXPECT_FALSE(fs::exists(folder_.segment(1)));
  EXPECT_EQ(checked(300, report.removed).root, root);
  // The log goes on from there, with and without its tiles.
  write_days(10);
  checked(310, report.removed);
  fs::remove_all(folder_.log() / "tile");
  write_days(1);
  checked(311, report.removed);
}

TEST_F(RetentionTest, ALaterRunTakesWhatCameSince) {
  write_days(300);
  const std::uint64_t first = run()->removed;
  last_run_ms_ = clock_.unix_ms();
  EXPECT_EQ(run()->removed, 0U);
  write_days(900);
  const RetentionReport second = run().value();
  EXPECT_GT(second.removed, 200U);
  checked(1200, first + second.removed);
  last_run_ms_ = clock_.unix_ms();
  write_days(1400);
  checked(2600, first + second.removed + run()->removed);
  for (const Entry& entry : all_entries(folder_)) {
    if (entry.sequence < 300 && (entry.sequence - 1) % 3 != 2) {
      ADD_FAILURE() << "kept too long: " << entry.sequence;
    }
  }
}

TEST_F(RetentionTest, ASecondRunReadsOnlyWhatCanHaveExpired) {
  write_days(1400);
  const std::uint64_t all = run()->segments_read;
  EXPECT_GT(all, 20U);
  last_run_ms_ = clock_.unix_ms();
  clock_.advance_ms(kDayMs);
  EXPECT_LT(run()->segments_read, 5U);
}

// A log of which each file lasts longer than its records keep their text: a file is complete only
// when its time has long been over.
TEST_F(RetentionTest, ASlowLogLosesItsTextsToo) {
  LogOptions options{.directory = folder_.log(), .segment_bytes = kSegmentBytesMin};
  const auto log = Log::open(options, clock_).value();
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(log->append_and_wait(call("shop", "internal")));
    clock_.advance_ms(10 * kDayMs);
    last_run_ms_ = clock_.unix_ms() - 10 * kDayMs;
    ASSERT_TRUE(run());
  }
  const std::uint64_t complete = count_segments(folder_.log()).value() - 3;  // and the spare
  for (std::uint64_t number = 1; number < complete; ++number) {
    EXPECT_TRUE(fs::exists(folder_.log() / kept_name(number))) << number;
  }
  EXPECT_GT(complete, 4U);
}

TEST_F(RetentionTest, AHoldThatComesMeanwhileIsHeeded) {
  write_days(300);
  std::uint64_t generation = 0;
  bool in_force = false;
  const Held held = [&](const Record&) {
    if (generation == 0) {  // placed behind the first look
      ++generation;
      return std::exchange(in_force, true);
    }
    return in_force;
  };
  const auto report = delete_expired({.directory = folder_.log(),
                                      .now_ms = clock_.unix_ms(),
                                      .held_generation = [&] { return generation; }},
                                     kPolicy, held, [](const auto&) { return Result<>(); });
  EXPECT_EQ(report->removed, 0U);
}

TEST_F(RetentionTest, WhatIsUnderALegalHoldStays) {
  write_days(300);
  const Held held = [](const Record& record) { return record.unix_ms < kStart + 50 * kDayMs; };
  const RetentionReport report = run(held).value();
  EXPECT_GT(report.held, 10U);
  for (const std::uint64_t sequence : removed_) {
    EXPECT_GE(sequence, 50U);
  }
  checked(300, report.removed);
}

TEST_F(RetentionTest, ADryRunDeletesNothing) {
  write_days(300);
  const RetentionReport report = run(nullptr, true).value();
  EXPECT_GT(report.removed, 20U);
  EXPECT_TRUE(removed_.empty());
  checked(300, 0);
}

TEST_F(RetentionTest, NothingGoesThatTheIndexCouldNotForget) {
  write_days(300);
  on_removed_ = fail(Code::io, "the index is locked");
  EXPECT_EQ(run().error().code, Code::io);
  checked(300, 0);
}

TEST_F(RetentionTest, ADamagedSegmentIsNotTouched) {
  write_days(300);
  std::string bytes = read_bytes(folder_.segment(1));
  bytes[3000] = static_cast<char>(bytes[3000] ^ 1);
  write_bytes(folder_.segment(1), bytes);
  EXPECT_EQ(run().error().code, Code::corrupt);
  EXPECT_EQ(read_bytes(folder_.segment(1)), bytes);
}

TEST_F(RetentionTest, TheTextsAreGoneFromTheFiles) {
  write_days(300);
  run().value();
  const std::string bytes = read_bytes(folder_.log() / kept_name(1));
  EXPECT_EQ(bytes.find("\"internal\""), std::string::npos);
  EXPECT_NE(bytes.find("\"sensitive\""), std::string::npos);
}

// Every byte of a `.kept` file is under its hash, and a forged one has another root.
TEST_F(RetentionTest, AnAlteredKeptFileIsFound) {
  write_days(300);
  run().value();
  const fs::path path = folder_.log() / kept_name(1);
  const std::string whole = read_bytes(path);
  for (std::size_t at = 0; at < whole.size(); at += 97) {
    std::string altered = whole;
    altered[at] = static_cast<char>(altered[at] ^ 4);
    write_bytes(path, altered);
    EXPECT_FALSE(verified(folder_).intact()) << at;
  }
  // With its hash made again: the stub's leaf hash does not lead to the checkpoint's root.
  std::string forged = whole;
  forged[kSegmentHeaderBytes + 40] = static_cast<char>(forged[kSegmentHeaderBytes + 40] ^ 4);
  forged.resize(forged.size() - 32);
  forged += crypto::view(crypto::sha256(forged));
  write_bytes(path, forged);
  verifier::LogOptions options;
  options.keys = {verifier::parse_key(signer_.verifier_key()).value()};
  EXPECT_FALSE(verifier::verify_log(folder_.log(), options)->intact());
}

// A crash between the new file and the removal of the old one.
TEST_F(RetentionTest, BothFilesAreOne) {
  write_days(300);
  const std::string segment = read_bytes(folder_.segment(1));
  const std::uint64_t stubs = run()->removed;
  write_bytes(folder_.segment(1), segment);
  checked(300, stubs);
  write_days(1);
  EXPECT_FALSE(fs::exists(folder_.segment(1))) << "the start removed it";
  checked(301, stubs);
}

}  // namespace
}  // namespace deepmoat::audit
