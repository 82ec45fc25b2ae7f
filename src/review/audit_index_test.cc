#include "review/audit_index.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

constexpr UnixMillis kStart = 1'800'000'000'000;

std::vector<std::string> log_lines(const audit::ScratchFolder& folder) {
  std::vector<std::string> all;
  for (const audit::Entry& entry : audit::all_entries(folder)) {
    all.push_back(audit::to_json_line(entry));
  }
  return all;
}

// SQL straight at the file, as another program would ask; rows as texts with '|' between them.
std::vector<std::string> ask(const ScratchIndex& scratch, const std::string& sql) {
  sqlite3* handle = nullptr;
  EXPECT_EQ(sqlite3_open(scratch.index_path().c_str(), &handle), SQLITE_OK);
  std::vector<std::string> rows;
  const auto add = [](void* out, int columns, char** values, char**) {
    std::string row;
    for (int i = 0; i < columns; ++i) {
      row += (i == 0 ? "" : "|") + std::string(values[i] == nullptr ? "NULL" : values[i]);
    }
    static_cast<std::vector<std::string>*>(out)->push_back(row);
    return 0;
  };
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), add, &rows, &error), SQLITE_OK)
      << sql << ": " << (error == nullptr ? "" : error);
  sqlite3_free(error);
  sqlite3_close(handle);
  return rows;
}

void append_samples(ScratchIndex& scratch, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    scratch.append(audit::sample_record(i));
    scratch.clock.pass(7);
  }
}

TEST(AuditIndex, EqualsTheLogAfterEveryKindOfGrowth) {
  ScratchIndex scratch(kStart, audit::kSegmentBytesMin);
  EXPECT_EQ(scratch.catch_up(), 0U);
  append_samples(scratch, 1, 10);
  EXPECT_EQ(scratch.catch_up(), 10U);
  EXPECT_EQ(scratch.catch_up(), 0U);
  append_samples(scratch, 11, 90);  // over the ends of segments
  EXPECT_EQ(scratch.catch_up(), 90U);
  scratch.restart_log();
  append_samples(scratch, 101, 1);
  scratch.open_index();
  EXPECT_EQ(scratch.catch_up(), 1U);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
  for (std::uint64_t i = 102; i <= 160; ++i) {  // one by one, so that it stops at every place
    append_samples(scratch, i, 1);
    EXPECT_EQ(scratch.catch_up(), 1U);
  }
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
  EXPECT_EQ(scratch.index->state()->last_sequence, 160U);
}

TEST(AuditIndex, TakesMoreThanOneTransactionForMoreThanABatch) {
  ScratchIndex scratch(kStart);
  for (std::uint64_t i = 1; i < 2 * kIndexBatch + 3; ++i) {
    scratch.log->append(audit::sample_record(i), [](Result<std::uint64_t>) {});
  }
  scratch.append(audit::sample_record(1));
  std::vector<std::uint64_t> told;
  const auto added = scratch.index->catch_up(scratch.folder.log(), nullptr,
                                             [&](std::uint64_t so_far) { told.push_back(so_far); });
  EXPECT_EQ(added.value(), 2 * kIndexBatch + 3);
  EXPECT_EQ(told, (std::vector<std::uint64_t>{kIndexBatch, 2 * kIndexBatch, 2 * kIndexBatch + 3}));
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
}

TEST(AuditIndex, IsMadeAgainWhenItWasDeletedEvenWhileItIsOpen) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 20);
  EXPECT_EQ(scratch.catch_up(), 20U);
  std::filesystem::remove(scratch.index_path());
  EXPECT_EQ(scratch.catch_up(), 20U);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
  scratch.index.reset();
  std::filesystem::remove(scratch.index_path());
  scratch.open_index();
  EXPECT_EQ(scratch.catch_up(), 20U);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
}

TEST(AuditIndex, IsSharedAgainAfterOneOfTwoFoundItDeleted) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 20);
  EXPECT_EQ(scratch.catch_up(), 20U);  // its -wal and -shm stay in use
  std::filesystem::remove(scratch.index_path());
  const auto other = AuditIndex::open(scratch.index_path());
  ASSERT_TRUE(other.has_value()) << other.error().message;
  EXPECT_EQ((*other)->catch_up(scratch.folder.log(), nullptr).value(), 20U);
  append_samples(scratch, 21, 1);
  EXPECT_EQ(scratch.catch_up(), 1U) << "the other one's rows are there";
  EXPECT_EQ((*other)->catch_up(scratch.folder.log(), nullptr).value(), 0U);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
  EXPECT_EQ(lines(**other), log_lines(scratch.folder));
}

TEST(AuditIndex, IsMadeAgainOnDemand) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 20);
  EXPECT_EQ(scratch.catch_up(), 20U);
  ask(scratch, "UPDATE records SET operator = 'nobody'");
  EXPECT_NE(lines(*scratch.index), log_lines(scratch.folder));
  ASSERT_TRUE(scratch.index->rebuild().has_value());
  EXPECT_FALSE(scratch.index->state()->complete);
  EXPECT_EQ(scratch.catch_up(), 20U);
  EXPECT_TRUE(scratch.index->state()->complete);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
}

TEST(AuditIndex, StartsOverWhenTheLogWasRolledBack) {
  ScratchIndex scratch(kStart, audit::kSegmentBytesMin);
  append_samples(scratch, 1, 50);
  scratch.log.reset();
  const std::filesystem::path kept = scratch.folder.log().parent_path() / "kept";
  std::filesystem::copy(scratch.folder.log(), kept);
  scratch.restart_log();
  append_samples(scratch, 51, 30);
  EXPECT_EQ(scratch.catch_up(), 80U);
  scratch.log.reset();
  std::filesystem::remove_all(scratch.folder.log());
  std::filesystem::rename(kept, scratch.folder.log());
  EXPECT_EQ(scratch.catch_up(), 50U);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
  scratch.clock.step(-123);  // other records take the place of those that are gone
  scratch.restart_log();
  append_samples(scratch, 51, 40);
  EXPECT_EQ(scratch.catch_up(), 40U);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
}

TEST(AuditIndex, StartsOverForAnotherLogThatIsLonger) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 5);
  EXPECT_EQ(scratch.catch_up(), 5U);
  scratch.log.reset();
  std::filesystem::remove_all(scratch.folder.log());
  scratch.restart_log();
  append_samples(scratch, 2, 9);
  EXPECT_EQ(scratch.catch_up(), 9U);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
}

TEST(AuditIndex, IsNotThrownAwayWhileTheLogsFolderIsGone) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 5);
  EXPECT_EQ(scratch.catch_up(), 5U);
  EXPECT_EQ(scratch.index->catch_up(scratch.folder.log() / "no", nullptr).error().code,
            Code::not_found);
  EXPECT_EQ(lines(*scratch.index).size(), 5U);
}

TEST(AuditIndex, SaysSoWhenTheLogIsAltered) {
  ScratchIndex scratch(kStart, audit::kSegmentBytesMin);
  append_samples(scratch, 1, 60);
  scratch.log.reset();
  std::string bytes = audit::read_bytes(scratch.folder.segment(1));
  bytes[1000] ^= 1;
  audit::write_bytes(scratch.folder.segment(1), bytes);
  EXPECT_EQ(scratch.index->catch_up(scratch.folder.log(), nullptr).error().code, Code::corrupt);
  EXPECT_FALSE(scratch.index->state()->complete);
  EXPECT_EQ(require_complete(*scratch.index).error().code, Code::unavailable);
}

TEST(AuditIndex, BeginsAnewWithAFileThatIsNoIndexOfThisVersion) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 8);
  EXPECT_EQ(scratch.catch_up(), 8U);
  ask(scratch, "PRAGMA user_version = 99");
  scratch.open_index();
  EXPECT_EQ(scratch.catch_up(), 8U);
  for (const std::size_t garbage : {10U, 5000U, 100'000U}) {
    scratch.index.reset();
    for (const char* const ending : {"-wal", "-shm"}) {
      std::filesystem::remove(scratch.index_path().string() + ending);
    }
    audit::write_bytes(scratch.index_path(), std::string(garbage, 'x'));
    scratch.open_index();
    EXPECT_EQ(scratch.catch_up(), 8U) << garbage;
    EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
  }
}

TEST(AuditIndex, IsForItsOwnerAlone) {
  ScratchIndex scratch(kStart);
  struct stat status{};
  ASSERT_EQ(::stat(scratch.index_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST(AuditIndex, EndsEarlyWhenItIsToldToAndGoesOnLater) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 20);
  const std::atomic<bool> stop = true;
  EXPECT_EQ(scratch.index->catch_up(scratch.folder.log(), &stop).value(), 0U);
  EXPECT_FALSE(scratch.index->state()->complete);
  EXPECT_EQ(scratch.catch_up(), 20U);
  EXPECT_TRUE(scratch.index->state()->complete);
}

TEST(AuditIndex, HoldsHostileTextsAsTheyAre) {
  ScratchIndex scratch(kStart);
  const std::vector<std::string> hostile{"'",
                                         "\"; DROP TABLE records; --",
                                         "' OR '1'='1",
                                         "=cmd|'/C calc'!A0",
                                         ":v0",
                                         "?1",
                                         "%s{}{0}\\",
                                         std::string("a\0b", 3),
                                         "\xff\xfe\xc3\x28",
                                         "\x1b[2J\r\n\t",
                                         "\xe2\x80\xae"
                                         "abc",
                                         "\xf0\x9f\x94\x91",
                                         std::string(5000, 'x')};
  for (const std::string& text : hostile) {
    audit::Record record = sample_call();
    for (std::string* field :
         {&record.request_id, &record.tenant, &record.operator_id, &record.key_id, &record.role,
          &record.authentication, &record.ip_address, &record.action, &record.resource,
          &record.route, &record.data_class, &record.model, &record.model_version,
          &record.input_fingerprint, &record.output_fingerprint, &record.reason}) {
      *field = text;
    }
    record.tokens_in = ~0ULL;
    record.status = -1;
    scratch.append(record);
  }
  EXPECT_EQ(scratch.catch_up(), hostile.size());
  const std::vector<std::string> all = log_lines(scratch.folder);
  EXPECT_EQ(lines(*scratch.index), all);
  // What the log made of each is found by every filter.
  const std::vector<audit::Entry> entries = audit::all_entries(scratch.folder);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const audit::Record& r = entries[i].record;
    const Filter by_all{.tenant = r.tenant,
                        .key_id = r.key_id,
                        .operator_id = r.operator_id,
                        .model = r.model,
                        .route = r.route,
                        .action = r.action,
                        .reason = r.reason,
                        .request_id = r.request_id,
                        .ip_address = r.ip_address};
    EXPECT_EQ(lines(*scratch.index, by_all), std::vector<std::string>{all[i]});
    const auto found = scratch.index->find_request(r.request_id);
    ASSERT_EQ(found->size(), 1U);
    EXPECT_EQ(found->front().sequence, i + 1);
  }
}

TEST(AuditIndex, FindsTheBytesOfARequestsRecords) {
  ScratchIndex scratch(kStart, audit::kSegmentBytesMin);
  append_samples(scratch, 1, 40);
  audit::Record record = sample_call();
  record.request_id = "wanted";
  scratch.append_both(record);
  append_samples(scratch, 43, 40);
  scratch.catch_up();
  const auto found = scratch.index->find_request("wanted");
  ASSERT_TRUE(found.has_value());
  ASSERT_EQ(found->size(), 2U);
  for (const RequestRecord& one : *found) {
    audit::Frame frame;
    const std::string segment = audit::read_bytes(scratch.folder.segment(one.segment));
    ASSERT_EQ(audit::parse_frame(segment, one.frame_offset, frame), nullptr);
    EXPECT_EQ(frame.sequence, one.sequence);
    EXPECT_NE(frame.body.find("wanted"), std::string_view::npos);
  }
  EXPECT_TRUE(scratch.index->find_request("no")->empty());
}

TEST(AuditIndex, ShowsOneRowAnOperationInThePromisedView) {
  ScratchIndex scratch(1'796'083'200'007);  // 2026-12-01T00:00:00.007Z
  scratch.append_both(sample_call());
  audit::Record change = sample_change("key.create", "");
  scratch.append_both(change);
  audit::Record unfinished = sample_call();
  unfinished.phase = audit::Phase::intent;
  unfinished.outcome = audit::Outcome::pending;
  unfinished.resource = "";
  scratch.append(unfinished);
  audit::Record refused = sample_call();
  refused.operation = audit::Operation::read;
  scratch.append(refused);
  change.operation = audit::Operation::erase;
  change.resource = "key_7";
  scratch.append(change);
  scratch.catch_up();
  EXPECT_EQ(ask(scratch, "SELECT * FROM audit_log ORDER BY id"),
            (std::vector<std::string>{"2|crawler|EXECUTE|qwen|2026-12-01T00:00:00.007Z|10.0.0.1",
                                      "4|alice|WRITE|key.create|2026-12-01T00:00:00.007Z|10.0.0.9",
                                      "5|crawler|EXECUTE|qwen|2026-12-01T00:00:00.007Z|10.0.0.1",
                                      "6|crawler|READ|qwen|2026-12-01T00:00:00.007Z|10.0.0.1",
                                      "7|alice|DELETE|key_7|2026-12-01T00:00:00.007Z|10.0.0.9"}));
  EXPECT_EQ(ask(scratch, "SELECT name FROM pragma_table_info('audit_log')"),
            (std::vector<std::string>{"id", "operator", "operation_type", "resource_id",
                                      "timestamp", "ip_address"}));
}

TEST(AuditIndex, WritesTimesInTheViewAsTheLogDoes) {
  ScratchIndex scratch(0);
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    const auto place = static_cast<UnixMillis>(random() % 253'402'300'800'000U);
    scratch.clock.to(i == 0   ? 0
                     : i == 1 ? -1
                     : i == 2 ? 253'402'300'799'999
                     : i == 3 ? 253'402'300'800'000
                              : place);
    scratch.append(sample_call());
  }
  scratch.catch_up();
  std::vector<std::string> expected;
  for (const audit::Entry& entry : audit::all_entries(scratch.folder)) {
    expected.push_back(audit::format_time(entry.record.unix_ms));
  }
  EXPECT_EQ(ask(scratch, "SELECT timestamp FROM audit_log ORDER BY id"), expected);
}

TEST(AuditIndex, TakesNoOtherOperationType) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 1);
  scratch.catch_up();
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(scratch.index_path().c_str(), &handle), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(handle, "UPDATE records SET operation_type = 'ERASE'", nullptr, nullptr,
                         nullptr),
            SQLITE_CONSTRAINT);
  EXPECT_EQ(sqlite3_exec(handle, "UPDATE records SET operation_type = 'DELETE'", nullptr, nullptr,
                         nullptr),
            SQLITE_OK);
  sqlite3_close(handle);
}

TEST(AuditIndex, ForgetsWhatRetentionDeletedAndKeepsTheRest) {
  ScratchIndex scratch(kStart);
  for (int i = 0; i < 5; ++i) {
    audit::Record record = sample_call();
    record.operator_id = i == 1 ? "unforgettable-secret" : "crawler";
    scratch.append_both(record);
  }
  scratch.catch_up();
  EXPECT_EQ(scratch.index->forget({3, 4, 77}).value(), 2U);
  EXPECT_EQ(scratch.index->forget({9, 10}).value(), 2U);
  EXPECT_EQ(sequences(*scratch.index, {.phase = PhaseFilter::all}),
            (std::vector<std::uint64_t>{1, 2, 5, 6, 7, 8}));
  EXPECT_EQ(scratch.catch_up(), 0U) << "what was forgotten does not come back";
  // An intent whose result was forgotten had one all the same.
  EXPECT_EQ(scratch.index->forget({6}).value(), 1U);
  EXPECT_EQ(sequences(*scratch.index, {}), (std::vector<std::uint64_t>{2, 8}));
  for (const char* const ending : {"", "-wal"}) {
    EXPECT_EQ(audit::read_bytes(scratch.index_path().string() + ending).find("unforgettable"),
              std::string::npos)
        << "the file" << ending;
  }
}

TEST(AuditIndex, IsWrittenByTwoWritersAndReadMeanwhile) {
  ScratchIndex scratch(kStart, 64 * 1024);
  std::atomic<bool> writing = true;
  std::vector<std::thread> threads;
  for (int writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&] {
      auto index = AuditIndex::open(scratch.index_path());
      ASSERT_TRUE(index.has_value()) << index.error().message;
      for (bool last = false; !last;) {
        last = !writing;
        const auto added = (*index)->catch_up(scratch.folder.log(), nullptr);
        ASSERT_TRUE(added.has_value()) << added.error().message;
      }
    });
  }
  threads.emplace_back([&] {
    auto index = AuditIndex::open(scratch.index_path());
    ASSERT_TRUE(index.has_value()) << index.error().message;
    while (writing) {
      std::uint64_t next = 1;  // whole and in order, however far it has come
      const auto count =
          query(**index, {.phase = PhaseFilter::all, .limit = kQueryRowsMax},
                [&](const audit::Entry& entry) { EXPECT_EQ(entry.sequence, next++); });
      ASSERT_TRUE(count.has_value()) << count.error().message;
    }
  });
  for (std::uint64_t i = 1; i <= 3000; ++i) {
    scratch.log->append(audit::sample_record(i), [](Result<std::uint64_t>) {});
    if (i % 100 == 0) {
      scratch.append(audit::sample_record(i));
    }
  }
  writing = false;
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
}

TEST(AuditIndex, BeginsAnewOnceThoughTwoWritersSeeThatItMust) {
  ScratchIndex scratch(kStart);
  append_samples(scratch, 1, 50);
  scratch.catch_up();
  scratch.log.reset();
  std::filesystem::remove_all(scratch.folder.log());
  scratch.restart_log();
  append_samples(scratch, 3, 70);
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> added = 0;
  for (int writer = 0; writer < 4; ++writer) {
    threads.emplace_back([&] {
      auto index = AuditIndex::open(scratch.index_path());
      ASSERT_TRUE(index.has_value()) << index.error().message;
      const auto mine = (*index)->catch_up(scratch.folder.log(), nullptr);
      ASSERT_TRUE(mine.has_value()) << mine.error().message;
      added += *mine;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(added, 70U);
  EXPECT_EQ(lines(*scratch.index), log_lines(scratch.folder));
}

// SQLite's locks belong to the process: another one would take a file for unused that is in use,
// and remove its write-ahead log.
TEST(AuditIndex, KeepsItsLocksWhenAnotherOneOfTheProcessIsOpenedAndClosed) {
  ScratchIndex scratch(1'700'000'000'000);
  scratch.append(sample_call());
  scratch.catch_up();
  ASSERT_TRUE(AuditIndex::open(scratch.index_path()).has_value());  // and closed
  const std::string path = scratch.index_path();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const int file = ::open(path.c_str(), O_RDWR);
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    const int asked = ::fcntl(file, F_GETLK, &lock);
    ::_exit(file >= 0 && asked == 0 && lock.l_type != F_UNLCK ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "nobody holds a lock on it";
}

}  // namespace
}  // namespace deepmoat::review
