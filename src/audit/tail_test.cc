#include "audit/tail.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "audit/scratch_log.h"

namespace deepmoat::audit {
namespace {

constexpr UnixMillis kStart = 1'700'000'000'000;

TEST(Tail, ReadsTheNewestOverSegments) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  const auto log = open_log(folder, clock);
  append_records(*log, 1, 150);
  for (const std::size_t count : {0U, 1U, 7U, 60U, 150U, 500U}) {
    TailReader reader(folder.log());
    const auto entries = reader.read_last(count);
    ASSERT_TRUE(entries.has_value()) << entries.error().message;
    ASSERT_EQ(entries->size(), std::min<std::size_t>(count, 150));
    for (std::size_t i = 0; i < entries->size(); ++i) {
      EXPECT_EQ((*entries)[i].sequence, 150 - entries->size() + i + 1);
    }
  }
}

TEST(Tail, GoesOnWhereItStood) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  const auto log = open_log(folder, clock);
  append_records(*log, 1, 10);
  TailReader reader(folder.log());
  ASSERT_EQ(reader.read_last(3)->size(), 3U);
  std::uint64_t next = 11;
  const OnEntry expect_next = [&](const Entry& entry) { EXPECT_EQ(entry.sequence, next++); };
  EXPECT_EQ(reader.poll(expect_next).value(), 0U);
  append_records(*log, 11, 90);
  EXPECT_EQ(reader.poll(expect_next).value(), 90U);
  EXPECT_EQ(reader.poll(expect_next).value(), 0U);
}

TEST(Tail, GoesOnInAnotherReaderFromEveryPlace) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  const auto log = open_log(folder, clock);
  append_records(*log, 1, 90);  // three segments
  std::vector<TailPlace> places;
  std::vector<std::uint64_t> offsets;
  TailReader reader(folder.log());
  places.push_back(reader.place());
  for (std::uint64_t last = 1; last <= 90; ++last) {
    const auto found = reader.search({.last_sequence = last}, [&](const Entry& entry) {
      EXPECT_EQ(reader.place().chain.next_sequence, entry.sequence);
      offsets.push_back(reader.place().offset);
    });
    ASSERT_TRUE(found.has_value()) << found.error().message;
    places.push_back(reader.place());
  }
  EXPECT_GT(places.back().segment, 2U);
  for (std::size_t read = 0; read < places.size(); ++read) {
    TailReader other(folder.log());
    ASSERT_TRUE(other.resume(places[read]).value()) << read;
    std::uint64_t next = read + 1;
    const auto rest = other.poll([&](const Entry& entry) {
      EXPECT_EQ(other.place().offset, offsets[next - 1]);
      EXPECT_EQ(entry.sequence, next++);
    });
    EXPECT_EQ(rest.value(), 90 - read);
  }
}

TEST(Tail, DoesNotGoOnInALogThatWasRolledBackOrIsAnotherOne) {
  const ScratchFolder folder;
  const ScratchFolder other_folder;
  const ScratchFolder short_folder;
  ManualClock clock(kStart);
  const auto log = open_log(folder, clock);
  append_records(*log, 1, 60);
  append_records(*open_log(short_folder, clock), 1, 20);
  clock.advance_ms(1);
  append_records(*open_log(other_folder, clock), 1, 60);
  TailReader reader(folder.log());
  for (std::uint64_t last = 1; last <= 60; ++last) {
    ASSERT_TRUE(reader.search({.last_sequence = last}, [](const Entry&) {}).has_value());
    TailReader elsewhere(other_folder.log());
    EXPECT_FALSE(elsewhere.resume(reader.place()).value()) << last;
    EXPECT_EQ(elsewhere.place(), TailPlace{}) << "moved all the same";
    TailReader rolled_back(short_folder.log());
    EXPECT_EQ(rolled_back.resume(reader.place()).value(), last <= 20) << last;
  }
}

TEST(Tail, OfAnEmptyLogIsEmptyAndOfNoFolderAnError) {
  const ScratchFolder folder;
  TailReader reader(folder.log());
  EXPECT_EQ(reader.read_last(5).error().code, Code::not_found);
  EXPECT_EQ(verifier::verify_log(folder.log()).error().fault, verifier::Fault::not_there);
  ManualClock clock(kStart);
  const auto log = open_log(folder, clock);
  EXPECT_TRUE(reader.read_last(5)->empty());
  EXPECT_EQ(reader.poll([](const Entry&) {}).value(), 0U);
  EXPECT_EQ(verified(folder).records, 0U);
  EXPECT_TRUE(verified(folder).intact());
}

TEST(Tail, StopsBeforeAHalfWrittenRecord) {
  const ScratchFolder folder;
  ManualClock clock(kStart);
  {
    const auto log = open_log(folder, clock);
    append_records(*log, 1, 3);
  }
  std::string bytes = read_bytes(folder.segment(1));
  const std::size_t end = bytes.find_last_not_of('\0') + 1;
  bytes.replace(end - 20, 20, 20, '\0');
  write_bytes(folder.segment(1), bytes);
  TailReader reader(folder.log());
  EXPECT_EQ(reader.read_last(5)->size(), 2U);
  EXPECT_EQ(all_entries(folder).size(), 2U);
}

TEST(Tail, FollowsAndVerifiesBesideARunningWriter) {
  const ScratchFolder folder;
  const SystemClock clock;
  const auto log = open_log(folder, clock, 64 * 1024);
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> seen = 0;
  std::thread follower([&] {
    TailReader reader(folder.log());
    const auto followed = follow(reader, stop, [&](const Entry& entry) {
      EXPECT_EQ(entry.sequence, seen + 1);
      ++seen;
    });
    EXPECT_TRUE(followed.has_value()) << followed.error().message;
  });
  std::atomic<bool> writing = true;
  std::thread verifier([&] {
    while (writing) {
      const verifier::LogReport report = verified(folder);
      ASSERT_TRUE(report.intact()) << describe(report);
    }
  });
  constexpr std::uint64_t kWriters = 4;
  constexpr std::uint64_t kEach = 600;
  std::vector<std::thread> writers;
  for (std::uint64_t w = 0; w < kWriters; ++w) {
    writers.emplace_back([&] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        log->append(sample_record(i), [](Result<std::uint64_t> r) { EXPECT_TRUE(r.has_value()); });
        if (i % 50 == 0) {
          ASSERT_TRUE(log->append_and_wait(sample_record(i)).has_value());
        }
      }
    });
  }
  for (std::thread& writer : writers) {
    writer.join();
  }
  writing = false;
  verifier.join();
  const std::uint64_t all = kWriters * (kEach + kEach / 50);
  while (seen < all) {
    std::this_thread::yield();
  }
  stop = true;
  follower.join();
  EXPECT_EQ(verified(folder).records, all);
}

}  // namespace
}  // namespace deepmoat::audit
