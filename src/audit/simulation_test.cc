// Seeded histories of the log over a disk that fails: writers that crash, lose power, meet errors
// and full disks, and come back. DEEPMOAT_SIMULATION_SEEDS sets how many; a failure names its seed,
// DEEPMOAT_SIMULATION_FIRST begins there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "audit/recovery.h"
#include "audit/segment.h"
#include "audit/segment_writer.h"
#include "audit/simulated_disk.h"
#include "transparency/tree.h"

namespace deepmoat::audit {
namespace {

const std::filesystem::path kFolder = "/log";

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed), disk_(random_) {}

  void run() {
    const std::uint64_t rounds = 2 + (random_() % 4);
    for (std::uint64_t round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
      plan_fault();
      live();
      // A process that ended leaves what the system holds in memory; a machine that went down does
      // not. After an error there may be either.
      if (fault_ == Fault::power_loss || random_() % 3 == 0) {
        disk_.lose_power();
      }
      disk_.plan_nothing();
      if (random_() % 4 == 0) {
        continue;  // the next life meets its fault while it recovers
      }
      recover_whole();
    }
    disk_.lose_power();
    disk_.plan_nothing();
    recover_whole();
  }

 private:
  void plan_fault() {
    fault_ = static_cast<Fault>(random_() % 5);
    disk_.plan(fault_, 1 + (random_() % 60));
  }

  // One process, from its start to its end.
  void live() {
    (void)remove_unfinished_segments(kFolder, disk_);
    auto position = recover(kFolder, disk_);
    if (!position) {
      ASSERT_NE(position.error().code, Code::corrupt) << position.error().message;
      return;
    }
    take_stock(*position);
    if (position->segments == 0) {
      if (!prepare_segment(kFolder, 1, kSegmentBytesMin, disk_)) {
        return;
      }
      position->segments = 1;
    }
    auto writer = SegmentWriter::open(kFolder, *position, disk_);
    if (!writer) {
      return;
    }
    std::uint64_t segments = position->segments;
    const std::uint64_t commits = 1 + (random_() % 25);
    for (std::uint64_t i = 0; i < commits; ++i) {
      if (!commit(*writer, segments)) {
        return;
      }
    }
  }

  bool commit(SegmentWriter& writer, std::uint64_t& segments) {
    std::vector<std::string> bodies;
    const std::uint64_t count = 1 + (random_() % 8);
    for (std::uint64_t i = 0; i < count; ++i) {
      bodies.push_back(std::to_string(random_()) + std::string(random_() % 700, 'b'));
    }
    std::vector<NewRecord> records;
    for (const std::string& body : bodies) {
      records.push_back({.body = body, .unix_ms = static_cast<UnixMillis>(random_() % 1000)});
    }
    std::size_t done = 0;
    while (done < records.size()) {
      if (!writer.fits(records[done].body.size())) {
        const std::uint64_t next = writer.segment() + 1;
        // A full disk is no reason to stop: it is tried again when the next record comes.
        if (segments < next && !prepare_segment(kFolder, next, kSegmentBytesMin, disk_)) {
          return fault_ == Fault::disk_full;
        }
        segments = std::max(segments, next);
        if (!writer.enter_next()) {
          return false;
        }
      }
      const auto committed =
          writer.commit(std::span(records).subspan(done), 0, [](std::string_view) {});
      if (!committed) {
        mark_tail_unknown(kFolder, disk_);
        return false;
      }
      for (std::size_t i = 0; i < *committed; ++i) {
        acknowledged_.push_back(bodies[done + i]);
      }
      done += *committed;
    }
    return true;
  }

  // A life without a fault that only starts.
  void recover_whole() {
    ASSERT_TRUE(remove_unfinished_segments(kFolder, disk_));
    const auto position = recover(kFolder, disk_);
    ASSERT_TRUE(position) << position.error().message;
    take_stock(*position);
  }

  // All that was acknowledged is there, and what recovery finds beyond that stays.
  void take_stock(const WritePosition& position) {
    const std::vector<std::string> found = read_all();
    ASSERT_EQ(found.size(), position.chain.next_sequence - 1);
    ASSERT_GE(found.size(), acknowledged_.size()) << "acknowledged records are lost";
    for (std::size_t i = 0; i < acknowledged_.size(); ++i) {
      ASSERT_EQ(found[i], acknowledged_[i]) << "record " << i + 1;
    }
    acknowledged_ = found;
  }

  std::vector<std::string> read_all() {
    std::vector<std::string> bodies;
    ChainState chain;
    const std::uint64_t count = count_segments(kFolder, disk_).value();
    for (std::uint64_t number = 1; number <= count; ++number) {
      const SegmentFile file = SegmentFile::open(kFolder, number, disk_).value();
      std::string bytes;
      EXPECT_TRUE(file.load(bytes));
      SegmentHeader header;
      if (parse_segment_header(bytes, header) != nullptr) {
        EXPECT_EQ(number, count) << "no header, yet segments follow";
        EXPECT_TRUE(all_zero(bytes)) << "the spare is not blank";
        break;
      }
      EXPECT_EQ(check_segment_header(file, bytes, &chain, header), nullptr);
      chain.last_hash = header.hash;
      const Scan scan = scan_frames(bytes, kSegmentHeaderBytes, chain,
                                    [&](const Frame& frame) { bodies.emplace_back(frame.body); });
      EXPECT_EQ(scan.end, ScanEnd::clean) << scan.why;
    }
    return bodies;
  }

  std::mt19937_64 random_;
  SimulatedDisk disk_;
  Fault fault_ = Fault::kill;
  std::vector<std::string> acknowledged_;
};

TEST(AuditSimulation, NoAcknowledgedRecordIsLostInAnyHistory) {
  const std::uint64_t first = from_environment("DEEPMOAT_SIMULATION_FIRST", 1);
  const std::uint64_t seeds = from_environment("DEEPMOAT_SIMULATION_SEEDS", 10'000);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    History(seed).run();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace deepmoat::audit
