// Alterations of every kind are found and named; crashes of every kind are repaired.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "audit/scratch_log.h"
#include "audit/segment.h"

namespace deepmoat::audit {
namespace {

constexpr UnixMillis kStart = 1'700'000'000'000;

// Where each record of one segment file lies.
std::vector<Frame> frames_of(const std::string& segment) {
  std::vector<Frame> frames;
  SegmentHeader header;
  EXPECT_EQ(parse_segment_header(segment, header), nullptr);
  ChainState chain{header.first_sequence, header.hash};
  const Scan scan = scan_frames(segment, kSegmentHeaderBytes, chain,
                                [&](const Frame& frame) { frames.push_back(frame); });
  EXPECT_EQ(scan.end, ScanEnd::clean) << scan.why;
  return frames;
}

class Damage : public ::testing::Test {
 protected:
  void write_log(std::uint64_t records) {
    {
      const auto log = open_log(folder_, clock_);
      append_records(*log, 1, records);
    }
    records_ = records;
    count_ = count_segments(folder_.log()).value();
    for (std::uint64_t i = 1; i <= count_; ++i) {
      original_.push_back(read_bytes(folder_.segment(i)));
    }
  }
  void restore() {
    for (std::uint64_t i = 1; i <= count_; ++i) {
      write_bytes(folder_.segment(i), original_[i - 1]);
    }
  }
  // The log cannot be opened, and both say where.
  void expect_corrupt(std::uint64_t segment, std::uint64_t sequence, std::uint64_t offset) {
    const verifier::LogReport report = verified(folder_);
    ASSERT_FALSE(report.intact());
    EXPECT_EQ(report.bad->segment, segment_name(segment)) << describe(report);
    EXPECT_EQ(report.bad->sequence, sequence) << describe(report);
    EXPECT_EQ(report.bad->offset, offset) << describe(report);
    EXPECT_EQ(report.records, sequence - 1);
  }
  void expect_open_refused() {
    const auto log =
        Log::open({.directory = folder_.log(), .segment_bytes = kSegmentBytesMin}, clock_);
    ASSERT_FALSE(log.has_value());
    EXPECT_EQ(log.error().code, Code::corrupt) << log.error().message;
  }

  ScratchFolder folder_;
  ManualClock clock_{kStart};
  std::uint64_t records_ = 0;
  std::uint64_t count_ = 0;
  std::vector<std::string> original_;
};

TEST_F(Damage, CutAtEveryByteRecoversThePrefix) {
  write_log(12);
  // The log makes its spare in the background and may have been closed before it was there.
  if (!std::filesystem::exists(folder_.segment(2))) {
    ASSERT_TRUE(prepare_segment(folder_.log(), 2, kSegmentBytesMin).has_value());
  }
  const std::string whole = original_[0];
  const std::vector<Frame> frames = frames_of(whole);
  const std::size_t end = frames.back().offset + frames.back().bytes;
  for (std::size_t cut = 0; cut <= end; ++cut) {
    std::string bytes = whole;
    bytes.replace(cut, bytes.size() - cut, bytes.size() - cut, '\0');
    restore();
    write_bytes(folder_.segment(1), bytes);
    std::uint64_t kept = 0;
    while (kept < frames.size() && frames[kept].offset + frames[kept].bytes <= cut) {
      ++kept;
    }
    {
      const auto log =
          Log::open({.directory = folder_.log(), .segment_bytes = kSegmentBytesMin}, clock_);
      if (cut < kSegmentHeaderBytes && cut > 0) {
        // The spare after it shows that this header once was whole: not a crash's work.
        ASSERT_FALSE(log.has_value()) << cut;
        continue;
      }
      if (cut == 0) {
        ASSERT_FALSE(log.has_value());
        continue;
      }
      ASSERT_TRUE(log.has_value()) << cut << ": " << log.error().message;
      append_records(**log, kept + 1, 1);
    }
    const verifier::LogReport report = verified(folder_);
    ASSERT_TRUE(report.intact()) << cut << describe(report);
    ASSERT_FALSE(report.torn_tail) << cut;
    ASSERT_EQ(report.records, kept + 1) << cut;
  }
}

// What an older program finds at the end of a newer one's log is whole, and no torn tail.
TEST_F(Damage, WhatANewerProgramWroteIsNotCutOff) {
  write_log(5);
  const std::vector<Frame> frames = frames_of(original_[0]);
  const std::size_t end = frames.back().offset + frames.back().bytes;
  std::string frame;
  append_frame(frame, 6, kStart, 0, frames.back().hash, "a body of tomorrow");
  for (const std::size_t field : {28U, 30U}) {  // kind, version
    std::string newer = frame;
    newer[field] = 3;
    newer.resize(newer.size() - kHashBytes);
    newer += crypto::view(crypto::sha256(newer));
    std::string bytes = original_[0];
    bytes.replace(end, newer.size(), newer);
    restore();
    write_bytes(folder_.segment(1), bytes);
    expect_open_refused();
    EXPECT_EQ(read_bytes(folder_.segment(1)), bytes) << "not one byte was changed";
    expect_corrupt(1, 6, end);
  }
}

TEST_F(Damage, ASegmentOfANewerFormatIsNotCutOff) {
  std::string header = [] {
    SegmentHeader first{.number = 1, .segment_bytes = kSegmentBytesMin, .first_sequence = 1};
    return encode_segment_header(first);
  }();
  header[8] = 2;  // the format's version
  header.replace(96, kHashBytes, crypto::view(crypto::sha256(header.substr(0, 96))));
  header.resize(kSegmentBytesMin, '\0');
  std::filesystem::create_directories(folder_.log());
  write_bytes(folder_.segment(1), header);
  expect_open_refused();
  EXPECT_EQ(read_bytes(folder_.segment(1)), header);
}

TEST_F(Damage, CutInsideTheFirstCommitOfASegmentIsRepaired) {
  write_log(80);
  // Find the last segment with records and make it as if its first commit had been torn.
  std::uint64_t used = count_;
  SegmentHeader header;
  while (parse_segment_header(original_[used - 1], header) != nullptr) {
    --used;
  }
  ASSERT_GT(used, 1U);
  const std::vector<Frame> frames = frames_of(original_[used - 1]);
  const std::size_t first_end = frames[0].offset + frames[0].bytes;
  for (std::size_t cut = 0; cut < first_end; ++cut) {
    restore();
    std::filesystem::remove(folder_.segment(used + 1));  // not made before the first commit
    std::string bytes(original_[used - 1].size(), '\0');
    bytes.replace(0, cut, original_[used - 1], 0, cut);
    write_bytes(folder_.segment(used), bytes);
    {
      const auto log = open_log(folder_, clock_);
      ASSERT_NE(log, nullptr) << cut;
      append_records(*log, header.first_sequence, 2);
    }
    const verifier::LogReport report = verified(folder_);
    ASSERT_TRUE(report.intact()) << cut << describe(report);
    ASSERT_FALSE(report.torn_tail);
    ASSERT_EQ(report.records, header.first_sequence + 1);
  }
}

TEST_F(Damage, EverySingleBitFlipIsFound) {
  write_log(100);
  ASSERT_GE(count_, 4U);
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    const std::uint64_t segment = random() % count_ + 1;
    std::string bytes = original_[segment - 1];
    const std::uint64_t bit = random() % (bytes.size() * 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    write_bytes(folder_.segment(segment), bytes);
    const verifier::LogReport report = verified(folder_);
    ASSERT_TRUE(!report.intact() || report.torn_tail)
        << "segment " << segment << ", bit " << bit << ": " << describe(report);
    ASSERT_LE(report.records, records_);
    SegmentHeader header;
    if (parse_segment_header(original_[segment - 1], header) == nullptr) {
      const std::vector<Frame> frames = frames_of(original_[segment - 1]);
      for (std::size_t i = 0; i + 1 < frames.size(); ++i) {  // the last may look like a tear
        if (bit / 8 >= frames[i].offset && bit / 8 < frames[i].offset + frames[i].bytes) {
          ASSERT_FALSE(report.intact());
          ASSERT_EQ(report.bad->sequence, frames[i].sequence);
          ASSERT_EQ(report.bad->segment, segment_name(segment));
          ASSERT_EQ(report.bad->offset, frames[i].offset);
        }
      }
    }
    write_bytes(folder_.segment(segment), original_[segment - 1]);
  }
}

TEST_F(Damage, OpeningAFlippedLogNeverInventsARecord) {
  write_log(40);
  // Opening looks at the last segment with records and at what is prepared behind it, if it is.
  std::uint64_t looked_at = count_;
  SegmentHeader header;
  while (parse_segment_header(original_[looked_at - 1], header) != nullptr ||
         frames_of(original_[looked_at - 1]).empty()) {
    --looked_at;
  }
  std::mt19937_64 random(2);
  for (int round = 0; round < 400; ++round) {
    restore();
    const std::uint64_t segment = random() % count_ + 1;
    std::string bytes = original_[segment - 1];
    const std::uint64_t bit = random() % (bytes.size() * 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    write_bytes(folder_.segment(segment), bytes);
    const bool opened =
        Log::open({.directory = folder_.log(), .segment_bytes = kSegmentBytesMin}, clock_)
            .has_value();
    const verifier::LogReport report = verified(folder_);
    ASSERT_LE(report.records, records_);
    if (opened && segment >= looked_at) {
      ASSERT_TRUE(report.intact()) << describe(report);
      ASSERT_FALSE(report.torn_tail);
      ASSERT_GE(report.records + 1, records_);  // at most the last one was taken for a tear
    }
  }
}

TEST_F(Damage, EveryZeroedPageIsFound) {
  write_log(100);
  for (std::uint64_t segment = 1; segment <= count_; ++segment) {
    for (std::size_t page = 0; page < original_[segment - 1].size(); page += 512) {
      std::string bytes = original_[segment - 1];
      if (all_zero(std::string_view(bytes).substr(page, 512))) {
        continue;
      }
      bytes.replace(page, 512, 512, '\0');
      write_bytes(folder_.segment(segment), bytes);
      const verifier::LogReport report = verified(folder_);
      ASSERT_TRUE(!report.intact() || report.torn_tail || report.records < records_);
      write_bytes(folder_.segment(segment), original_[segment - 1]);
    }
  }
}

// Pages of the disk that a controller mixed up.
TEST_F(Damage, EverySwappedPairOfPagesIsFound) {
  write_log(60);
  constexpr std::size_t kPage = 512;
  for (std::uint64_t segment = 1; segment <= count_; ++segment) {
    const std::string& whole = original_[segment - 1];
    for (std::size_t first = 0; first < whole.size(); first += kPage) {
      for (std::size_t second = first + kPage; second < whole.size(); second += kPage) {
        std::string bytes = whole;
        bytes.replace(first, kPage, whole, second, kPage);
        bytes.replace(second, kPage, whole, first, kPage);
        if (bytes == whole) {
          continue;  // both are blank
        }
        write_bytes(folder_.segment(segment), bytes);
        const verifier::LogReport report = verified(folder_);
        ASSERT_TRUE(!report.intact() || report.torn_tail || report.records < records_)
            << "segment " << segment << ", " << first << " and " << second;
      }
    }
    write_bytes(folder_.segment(segment), whole);
  }
}

TEST_F(Damage, AnInsertedRecordIsNamed) {
  write_log(12);
  const std::vector<Frame> frames = frames_of(original_[0]);
  std::string forged;  // whole in itself, and in the right place of the chain
  append_frame(forged, 6, kStart, 0, frames[4].hash, encode_record(sample_record(99)));
  std::string bytes = original_[0];
  bytes.insert(frames[5].offset, forged);
  bytes.resize(original_[0].size());
  write_bytes(folder_.segment(1), bytes);
  // The forged one stands where the sixth did; the sixth itself is the first that does not fit.
  expect_corrupt(1, 7, frames[5].offset + forged.size());
  expect_open_refused();
}

TEST_F(Damage, ASwappedPairIsNamed) {
  write_log(12);
  const std::vector<Frame> frames = frames_of(original_[0]);
  std::size_t at = 0;
  while (frames[at].bytes != frames[at + 2].bytes) {
    ++at;
  }
  std::string bytes = original_[0];
  bytes.replace(frames[at].offset, frames[at].bytes, original_[0], frames[at + 2].offset,
                frames[at + 2].bytes);
  bytes.replace(frames[at + 2].offset, frames[at + 2].bytes, original_[0], frames[at].offset,
                frames[at].bytes);
  write_bytes(folder_.segment(1), bytes);
  expect_corrupt(1, frames[at].sequence, frames[at].offset);
  expect_open_refused();
}

TEST_F(Damage, ARemovedRecordIsNamed) {
  write_log(12);
  const std::vector<Frame> frames = frames_of(original_[0]);
  std::string bytes = original_[0];
  bytes.erase(frames[4].offset, frames[4].bytes);
  bytes.append(frames[4].bytes, '\0');
  write_bytes(folder_.segment(1), bytes);
  expect_corrupt(1, frames[4].sequence, frames[4].offset);
  expect_open_refused();
}

TEST_F(Damage, ARecordRewrittenWithItsHashIsNamedAtTheNextOne) {
  write_log(12);
  const std::vector<Frame> frames = frames_of(original_[0]);
  Record forged = sample_record(5);
  forged.tenant = "tenant-X";
  std::string frame;
  append_frame(frame, 5, kStart, 0, frames[4].previous_hash, encode_record(forged));
  ASSERT_EQ(frame.size(), frames[4].bytes);
  std::string bytes = original_[0];
  bytes.replace(frames[4].offset, frame.size(), frame);
  write_bytes(folder_.segment(1), bytes);
  expect_corrupt(1, 6, frames[5].offset);
  expect_open_refused();
}

TEST_F(Damage, ACopyOfAnOldRecordBehindTheEndIsNamed) {
  write_log(5);
  const std::vector<Frame> frames = frames_of(original_[0]);
  std::string bytes = original_[0];
  const std::size_t end = frames.back().offset + frames.back().bytes;
  bytes.replace(end + 100, frames[1].bytes, original_[0], frames[1].offset, frames[1].bytes);
  write_bytes(folder_.segment(1), bytes);
  expect_corrupt(1, 6, end);
  expect_open_refused();
}

TEST_F(Damage, ARemovedSegmentIsNamed) {
  write_log(100);
  ASSERT_GE(count_, 4U);
  for (std::uint64_t segment = 1; segment + 1 < count_; ++segment) {
    std::filesystem::remove(folder_.segment(segment));
    const verifier::LogReport report = verified(folder_);
    ASSERT_FALSE(report.intact());
    EXPECT_NE(report.bad->why.find(segment_name(segment)), std::string::npos);
    expect_open_refused();
    write_bytes(folder_.segment(segment), original_[segment - 1]);
  }
}

TEST_F(Damage, ASegmentOfAnotherLogIsNamed) {
  write_log(100);
  ScratchFolder other;
  ManualClock later(kStart + 1000);
  {
    const auto log = open_log(other, later);
    append_records(*log, 1, 100);
  }
  write_bytes(folder_.segment(2), read_bytes(other.segment(2)));
  const verifier::LogReport report = verified(folder_);
  ASSERT_FALSE(report.intact());
  EXPECT_EQ(report.bad->segment, segment_name(2));
}

TEST_F(Damage, ATruncatedFileIsNamed) {
  write_log(100);
  std::filesystem::resize_file(folder_.segment(2), kSegmentPageBytes);
  EXPECT_FALSE(verified(folder_).intact());
  std::filesystem::resize_file(folder_.segment(2), 2 * kSegmentBytesMin);
  EXPECT_FALSE(verified(folder_).intact());
}

TEST_F(Damage, AZeroedSegmentInTheMiddleIsNamed) {
  write_log(100);
  write_bytes(folder_.segment(2), std::string(original_[1].size(), '\0'));
  const verifier::LogReport report = verified(folder_);
  ASSERT_FALSE(report.intact());
  EXPECT_EQ(report.bad->segment, segment_name(2));
}

// A commit of many records whose pages reached the disk in any order, then a power cut.
TEST(TornCommit, LostPagesOfTheLastCommitAreCutWhateverTheirOrder) {
  constexpr std::uint64_t kSegmentBytes = 32 * 1024;
  SegmentHeader header{.number = 1, .segment_bytes = kSegmentBytes, .first_sequence = 1};
  std::string bytes = encode_segment_header(header);
  crypto::Digest hash = header.hash;
  std::uint64_t sequence = 1;
  for (; sequence <= 5; ++sequence) {
    hash = append_frame(bytes, sequence, kStart, 0, hash, encode_record(sample_record(sequence)));
  }
  const std::size_t commit = bytes.size();
  for (std::uint32_t i = 0; i < 60; ++i, ++sequence) {
    hash = append_frame(bytes, sequence, kStart, i, hash, encode_record(sample_record(sequence)));
  }
  const std::size_t pages = (bytes.size() + 4095) / 4096;
  ASSERT_GE(pages, 4U);
  bytes.resize(kSegmentBytes, '\0');
  ManualClock clock(kStart);
  for (std::uint32_t lost = 1; lost < (1U << pages); ++lost) {
    std::string torn = bytes;
    for (std::size_t page = 0; page < pages; ++page) {
      const std::size_t from = std::max(page * 4096, commit);
      if ((lost >> page) & 1U) {
        torn.replace(from, (page + 1) * 4096 - from, (page + 1) * 4096 - from, '\0');
      }
    }
    const ScratchFolder folder;
    std::filesystem::create_directories(folder.log());
    write_bytes(folder.segment(1), torn);
    const verifier::LogReport before = verified(folder);
    ASSERT_TRUE(before.intact()) << describe(before);
    ASSERT_GE(before.records, 5U);
    {
      const auto log = open_log(folder, clock, kSegmentBytes);
      ASSERT_NE(log, nullptr);
      append_records(*log, before.records + 1, 1);
    }
    const verifier::LogReport after = verified(folder);
    ASSERT_TRUE(after.intact() && !after.torn_tail);
    ASSERT_EQ(after.records, before.records + 1);
  }
}

TEST(TornCommit, AHoleBeforeALaterCommitIsTampering) {
  SegmentHeader header{.number = 1, .segment_bytes = kSegmentBytesMin, .first_sequence = 1};
  std::string bytes = encode_segment_header(header);
  crypto::Digest hash = header.hash;
  std::size_t third = 0;
  for (std::uint64_t sequence = 1; sequence <= 6; ++sequence) {
    if (sequence == 3) {
      third = bytes.size();
    }
    // Two commits of three records.
    hash = append_frame(bytes, sequence, kStart, static_cast<std::uint32_t>((sequence - 1) % 3),
                        hash, encode_record(sample_record(sequence)));
  }
  bytes.resize(kSegmentBytesMin, '\0');
  bytes[third + 70] = '?';
  const ScratchFolder folder;
  std::filesystem::create_directories(folder.log());
  write_bytes(folder.segment(1), bytes);
  const verifier::LogReport report = verified(folder);
  ASSERT_FALSE(report.intact());
  EXPECT_EQ(report.bad->sequence, 3U);
  EXPECT_EQ(report.bad->offset, third);
  ManualClock clock(kStart);
  const auto log = Log::open({.directory = folder.log()}, clock);
  ASSERT_FALSE(log.has_value());
  EXPECT_EQ(log.error().code, Code::corrupt);
}

}  // namespace
}  // namespace deepmoat::audit
