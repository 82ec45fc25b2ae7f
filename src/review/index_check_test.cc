#include "review/index_check.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/scratch_folder.h"
#include "review/index_row.h"
#include "review/scratch_index.h"

namespace deepmoat::review {
namespace {

constexpr UnixMillis kStart = 1'800'000'000'000;

class IndexCheck : public ::testing::Test {
 protected:
  IndexCheck() {
    for (int i = 0; i < 20; ++i) {
      scratch_.append_both(sample_call());
    }
    scratch_.catch_up();
  }

  IndexDifference difference() {
    auto fresh = AuditIndex::open(folder_ / "fresh.db").value();
    EXPECT_TRUE(fresh->rebuild());
    EXPECT_TRUE(fresh->catch_up(scratch_.folder.log(), nullptr));
    scratch_.catch_up();
    const auto found = compare_index(*scratch_.index, *fresh);
    EXPECT_TRUE(found) << (found ? "" : found.error().message);
    return found.value_or(IndexDifference{.records = 999});
  }
  // As whoever can write the file does it.
  void edit(const std::string& sql) {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(scratch_.index_path().c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sql;
    sqlite3_close(handle);
  }

  ScratchIndex scratch_{kStart};
  ScratchFolder folder_;
};

TEST_F(IndexCheck, OneThatIsAsTheLogIs) {
  EXPECT_TRUE(difference().none());
  // An operation that ends while the two are made.
  audit::Record intent = sample_call();
  intent.phase = audit::Phase::intent;
  intent.outcome = audit::Outcome::pending;
  const std::uint64_t sequence = scratch_.append(intent);
  auto fresh = AuditIndex::open(folder_ / "earlier.db").value();
  ASSERT_TRUE(fresh->catch_up(scratch_.folder.log(), nullptr));
  audit::Record result = sample_call();
  result.intent_sequence = sequence;
  scratch_.append(result);
  scratch_.catch_up();
  EXPECT_TRUE(compare_index(*scratch_.index, *fresh)->none());
}

TEST_F(IndexCheck, EveryEditIsFound) {
  edit("UPDATE records SET operator = 'eve' WHERE sequence = 7");
  EXPECT_EQ(difference().records, 1U);
  EXPECT_EQ(difference().first_sequence, 7U);
  edit("DELETE FROM records WHERE sequence IN (3, 4)");
  EXPECT_EQ(difference().records, 3U);
  EXPECT_EQ(difference().first_sequence, 3U);
  edit("UPDATE records SET result_sequence = 0 WHERE sequence = 1");
  EXPECT_EQ(difference().first_sequence, 1U);
  ASSERT_TRUE(scratch_.index->rebuild());
  scratch_.catch_up();
  EXPECT_TRUE(difference().none());
  edit("INSERT INTO records SELECT 0, " + [] {
    std::string columns;
    IndexRow row;
    each_column(row, [&](std::string_view name, const auto&) {
      if (name != "sequence") {
        columns += (columns.empty() ? "" : ", ") + std::string(name);
      }
    });
    return columns;
  }() + " FROM records WHERE sequence = 5");
  EXPECT_EQ(difference().records, 1U);
  ASSERT_TRUE(scratch_.index->rebuild());
  scratch_.catch_up();
  edit("DROP VIEW audit_log; CREATE VIEW audit_log AS SELECT 1");
  EXPECT_TRUE(difference().form);
}

}  // namespace
}  // namespace deepmoat::review
