// Rows of what waits for a second person: they come back whole, and one decision wins.
#include "store/approval_table.h"

#include <gtest/gtest.h>

#include "base/scratch_folder.h"

namespace deepmoat::store {
namespace {

class ApprovalTableTest : public testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    database_.reset();
    auto database = Database::open(folder_ / "deepmoat.db");
    ASSERT_TRUE(database) << database.error().message;
    database_ = *std::move(database);
  }
  [[nodiscard]] ApprovalTable table() const { return ApprovalTable(*database_); }

  static ApprovalRow row(const std::string& id, UnixMillis created_ms) {
    return {.approval_id = id,
            .tenant = "acme",
            .operator_id = "boss",
            .key_id = "key_1",
            .role = "admin",
            .authentication = "api_key",
            .ip_address = "192.0.2.1",
            .scopes = "see_status manage_keys",
            .route = "POST /admin/v1/catalog/{}/remove",
            .argument = "it's \"qwen\"",
            .body = R"({"version":"1"})",
            .action = "model.remove",
            .resource = "qwen 1",
            .created_ms = created_ms,
            .expires_ms = created_ms + 100,
            .state = "waiting",
            .row_mac = std::string(64, '0')};
  }

  ScratchFolder folder_;
  std::unique_ptr<Database> database_;
};

TEST_F(ApprovalTableTest, KeepsRowsOverAReopening) {
  ASSERT_TRUE(table().insert(row("apr_1", 5)));
  ASSERT_TRUE(table().insert(row("apr_2", 6)));
  EXPECT_FALSE(table().insert(row("apr_1", 7)));
  reopen();
  EXPECT_EQ(*table().list("", 9), (std::vector<ApprovalRow>{row("apr_2", 6), row("apr_1", 5)}));
  EXPECT_EQ(*table().list("", 1), std::vector<ApprovalRow>{row("apr_2", 6)});
  EXPECT_EQ(*table().find("apr_1"), row("apr_1", 5));
  EXPECT_EQ(*table().find("apr_3"), std::nullopt);
}

TEST_F(ApprovalTableTest, TellsTenantsApart) {
  const ApprovalRow of_acme = row("apr_1", 5);
  ApprovalRow decided = row("apr_2", 6);
  decided.state = "refused";
  ApprovalRow of_globex = row("apr_3", 7);
  of_globex.tenant = "globex";
  ASSERT_TRUE(table().insert(of_acme));
  ASSERT_TRUE(table().insert(decided));
  ASSERT_TRUE(table().insert(of_globex));
  EXPECT_EQ(*table().list("acme", 9), (std::vector<ApprovalRow>{decided, of_acme}));
  EXPECT_EQ(table().list("", 9)->size(), 3U);
  EXPECT_EQ(*table().list_waiting("acme"), std::vector<ApprovalRow>{of_acme});
  EXPECT_EQ(*table().list_waiting("globex"), std::vector<ApprovalRow>{of_globex});
  EXPECT_TRUE(table().list_waiting("nobody")->empty());
}

TEST_F(ApprovalTableTest, OfTwoDecisionsOneIsTaken) {
  ASSERT_TRUE(table().insert(row("apr_1", 5)));
  ApprovalRow approved = row("apr_1", 5);
  approved.state = "approved";
  approved.decided_tenant = "default";
  approved.decided_by = "second";
  approved.decided_key_id = "key_2";
  approved.decided_ms = 50;
  approved.row_mac = std::string(64, '1');
  ASSERT_TRUE(table().update(approved, "waiting"));
  ApprovalRow refused = row("apr_1", 5);
  refused.state = "refused";
  refused.reason = "too late";
  const auto second = table().update(refused, "waiting");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::not_found);
  approved.state = "done";
  approved.status = 200;
  ASSERT_TRUE(table().update(approved, "approved"));
  reopen();
  EXPECT_EQ(*table().find("apr_1"), approved);
}

TEST_F(ApprovalTableTest, ForgetsWhatIsLongOver) {
  ASSERT_TRUE(table().insert(row("apr_1", 5)));
  ASSERT_TRUE(table().insert(row("apr_2", 50)));
  ASSERT_TRUE(table().prune(120));
  EXPECT_EQ(*table().list("", 9), std::vector<ApprovalRow>{row("apr_2", 50)});
}

}  // namespace
}  // namespace deepmoat::store
