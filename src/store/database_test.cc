// The database: what is written comes back, rights, migrations, refusals.
#include "store/database.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "store/client_table.h"
#include "store/migrations.h"

namespace deepmoat::store {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/deepmoat_store_XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path path() const { return folder_ / "with space.db"; }

  // Runs SQL past our code, as somebody with the file could.
  void run_sql(const std::string& sql) const {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(handle);
  }

  std::filesystem::path folder_;
};

KeyRow row_of(const std::string& id, char fill) {
  return {.key_id = id,
          .lookup = std::string(64, fill),
          .client_id = "billing-app",
          .kind = "live",
          .role = "user",
          .tenant = "default",
          .label = "it's \"quoted\"; DROP TABLE api_keys; -- \xE4\xBD\xA0",
          .created_ms = 1'795'000'000'123,
          .expires_ms = 1'802'776'000'123,
          .revoked_ms = 0,
          .revoke_reason = "",
          .models = "demo\nchat",
          .adapter = "poet:0.7",
          .adapter_only = true,
          .ip_ranges = "10.0.0.0/8\n2001:db8::/32",
          .data_class = "sensitive",
          .scopes = "call_models",
          .requests_per_minute = 60,
          .tokens_per_minute = 1'000'000'000,
          .concurrent_calls = 4,
          .labels = "cost-centre=4711\nteam=\xE5\x8C\x97\xE4\xBA\xAC",
          .predecessor = "key_0",
          .lineage = "key_00",
          .overlap_until_ms = 1'795'000'000'999,
          .mac_version = 2,
          .row_mac = std::string(64, 'f')};
}

TEST_F(DatabaseTest, KeepsRowsOverAReopening) {
  const KeyRow first = row_of("key_1", '1');
  KeyRow second = row_of("key_2", '2');
  second.created_ms += 1;
  second.predecessor = "key_1";
  second.lineage = "key_0";
  second.overlap_until_ms = 1'795'000'000'125;
  {
    auto database = Database::open(path());
    ASSERT_TRUE(database) << database.error().message;
    ASSERT_TRUE((*database)->insert_key(second));
    ASSERT_TRUE((*database)->insert_key(first));
  }
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  const auto rows = (*database)->list_keys();
  ASSERT_TRUE(rows);
  EXPECT_EQ(*rows, (std::vector<KeyRow>{first, second}));
  EXPECT_EQ(*(*database)->find_key("key_1"), first);
  EXPECT_EQ((*database)->find_key("key_3").error().code, Code::not_found);
  EXPECT_EQ((*database)->find_key("' OR '1'='1").error().code, Code::not_found);
}

TEST_F(DatabaseTest, UpdatesOneRowOnly) {
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  ASSERT_TRUE((*database)->insert_key(row_of("key_1", '1')));
  ASSERT_TRUE((*database)->insert_key(row_of("key_2", '2')));
  KeyRow changed = row_of("key_1", '1');
  changed.revoked_ms = 1'796'000'000'000;
  changed.revoke_reason = "leaked";
  ASSERT_TRUE((*database)->update_key(changed));
  EXPECT_EQ(*(*database)->find_key("key_1"), changed);
  EXPECT_EQ(*(*database)->find_key("key_2"), row_of("key_2", '2'));
  EXPECT_EQ((*database)->update_key(row_of("key_9", '9')).error().code, Code::not_found);
}

TEST_F(DatabaseTest, RefusesASecondKeyWithTheSameIdOrLookup) {
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  ASSERT_TRUE((*database)->insert_key(row_of("key_1", '1')));
  EXPECT_EQ((*database)->insert_key(row_of("key_1", '2')).error().code, Code::already_exists);
  EXPECT_EQ((*database)->insert_key(row_of("key_2", '1')).error().code, Code::already_exists);
  EXPECT_EQ((*database)->list_keys()->size(), 1U);
}

TEST_F(DatabaseTest, KeepsSettings) {
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  EXPECT_EQ(*(*database)->setting("root_id"), std::nullopt);
  ASSERT_TRUE((*database)->set_setting("root_id", "aa"));
  ASSERT_TRUE((*database)->set_setting("root_id", "bb"));
  EXPECT_EQ(*(*database)->setting("root_id"), "bb");
}

TEST_F(DatabaseTest, KeepsTenants) {
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  TenantRow sales{.name = "sales", .organisation = "acme", .label = "n", .created_ms = 7};
  const TenantRow law{.name = "law", .organisation = "", .label = "", .created_ms = 8};
  ASSERT_TRUE((*database)->insert_tenant(sales));
  ASSERT_TRUE((*database)->ensure_tenant(law));
  EXPECT_EQ((*database)->insert_tenant(sales).error().code, Code::already_exists);
  ASSERT_TRUE((*database)->ensure_tenant({.name = "sales", .organisation = "", .label = ""}));
  EXPECT_EQ(*(*database)->list_tenants(), (std::vector{law, sales}));
  sales.organisation = "globex";
  ASSERT_TRUE((*database)->update_tenant(sales));
  EXPECT_EQ(*(*database)->list_tenants(), (std::vector{law, sales}));
  EXPECT_EQ((*database)->update_tenant({.name = "x", .organisation = "", .label = ""}).error().code,
            Code::not_found);
}

// A database as the program before made it: what is in it is bound to nothing.
TEST_F(DatabaseTest, TakesOverTheKeysOfItsSecondForm) {
  run_sql(
      "CREATE TABLE schema_migrations (version INTEGER NOT NULL PRIMARY KEY, "
      "title TEXT NOT NULL) STRICT");
  for (const Migration& migration : migrations().first(2)) {
    for (const std::string_view statement : migration.statements) {
      run_sql(std::string(statement));
    }
    run_sql("INSERT INTO schema_migrations VALUES (" + std::to_string(migration.version) + ", '')");
  }
  for (const char* key : {"'key_1', '1', 1000", "'key_2', '2', 500"}) {
    const std::string text = key;
    const std::string id = text.substr(0, 7);
    const std::string lookup = "'" + std::string(64, text[10]) + "'";
    const std::string created = text.substr(14);
    run_sql("INSERT INTO api_keys VALUES (" + id + ", " + lookup +
            ", 'app', 'live', 'user', 'acme', 'note', " + created + ", 9000, 0, '', '" +
            std::string(64, 'f') + "')");
  }
  auto database = Database::open(path());
  ASSERT_TRUE(database) << database.error().message;
  const auto row = (*database)->find_key("key_1");
  ASSERT_TRUE(row) << row.error().message;
  EXPECT_EQ(*row, (KeyRow{.key_id = "key_1",
                          .lookup = std::string(64, '1'),
                          .client_id = "app",
                          .kind = "live",
                          .role = "user",
                          .tenant = "acme",
                          .label = "note",
                          .created_ms = 1000,
                          .expires_ms = 9000,
                          .revoked_ms = 0,
                          .revoke_reason = "",
                          .mac_version = 1,
                          .row_mac = std::string(64, 'f')}));
  EXPECT_EQ(
      *(*database)->list_tenants(),
      (std::vector{TenantRow{.name = "acme", .organisation = "", .label = "", .created_ms = 500}}));
}

TEST_F(DatabaseTest, KeepsASecondFactorAClient) {
  SecondFactorRow row{.tenant = "acme",
                      .client_id = "app",
                      .algorithm = "totp-sha1",
                      .secret = "00ff",
                      .recovery = std::string(640, 'a'),
                      .enrolled_ms = 1,
                      .confirmed_ms = 2,
                      .last_counter = 59'833'333,
                      .failures = 4,
                      .locked_until_ms = 5,
                      .row_mac = std::string(64, 'f')};
  {
    auto database = Database::open(path());
    ASSERT_TRUE(database);
    EXPECT_EQ((*database)->erase_second_factor("acme", "app").error().code, Code::not_found);
    ASSERT_TRUE((*database)->put_second_factor(row));
    row.failures = 0;
    ASSERT_TRUE((*database)->put_second_factor(row));
  }
  auto database = Database::open(path());
  EXPECT_EQ(*(*database)->find_second_factor("acme", "app"), row);
  EXPECT_EQ(*(*database)->find_second_factor("acme", "ap"), std::nullopt);
  EXPECT_EQ(*(*database)->find_second_factor("default", "app"), std::nullopt);
  ASSERT_TRUE((*database)->erase_second_factor("acme", "app"));
  EXPECT_EQ(*(*database)->find_second_factor("acme", "app"), std::nullopt);
}

TEST_F(DatabaseTest, DoesAllOfATransactionOrNothing) {
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  const auto failed = (*database)->transaction([&]() -> Result<> {
    EXPECT_TRUE((*database)->insert_key(row_of("key_1", '1')));
    return (*database)->insert_key(row_of("key_2", '1'));  // the same lookup
  });
  EXPECT_EQ(failed.error().code, Code::already_exists);
  EXPECT_TRUE((*database)->list_keys()->empty());
  ASSERT_TRUE((*database)->transaction([&]() -> Result<> {
    EXPECT_TRUE((*database)->insert_key(row_of("key_1", '1')));
    return (*database)->insert_key(row_of("key_2", '2'));
  }));
  EXPECT_EQ((*database)->list_keys()->size(), 2U);
}

TEST_F(DatabaseTest, IsReadableByItsOwnerOnly) {
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  ASSERT_TRUE((*database)->insert_key(row_of("key_1", '1')));
  for (const auto& file : std::filesystem::directory_iterator(folder_)) {
    struct stat status{};
    ASSERT_EQ(::stat(file.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << file.path();
  }
}

TEST_F(DatabaseTest, NumbersMigrationsWithoutAGap) {
  int expected = 1;
  for (const Migration& migration : migrations()) {
    EXPECT_EQ(migration.version, expected++);
    EXPECT_FALSE(migration.statements.empty());
  }
  auto database = Database::open(path());
  ASSERT_TRUE(database);
  EXPECT_EQ(*(*database)->schema_version(), migrations().back().version);
}

// Nothing vouches for a certificate from before rows had a MAC.
TEST_F(DatabaseTest, TakesOverCertificatesWithoutAMac) {
  run_sql(
      "CREATE TABLE schema_migrations (version INTEGER NOT NULL PRIMARY KEY, "
      "title TEXT NOT NULL) STRICT");
  for (const Migration& migration : migrations().first(7)) {
    for (const std::string_view statement : migration.statements) {
      run_sql(std::string(statement));
    }
    run_sql("INSERT INTO schema_migrations VALUES (" + std::to_string(migration.version) + ", '')");
  }
  run_sql("INSERT INTO client_certificates VALUES ('AB:CD', 'acme', 'shop', 'boss', 1, 9, 0)");
  auto database = Database::open(path());
  ASSERT_TRUE(database) << database.error().message;
  ClientTable table(**database);
  ClientCertificateRow row{.fingerprint = "AB:CD",
                           .tenant = "acme",
                           .client_id = "shop",
                           .created_by = "boss",
                           .created_ms = 1,
                           .ends_ms = 9};
  EXPECT_EQ(*table.list_certificates(), std::vector{row});
  EXPECT_EQ(*table.find_certificate("AB:CD"), row);
  EXPECT_EQ(table.find_certificate("AB:CE").error().code, Code::not_found);
  row.revoked_ms = 5;
  row.row_mac = std::string(64, 'a');
  ASSERT_TRUE(table.revoke_certificate(row));
  EXPECT_EQ(*table.find_certificate("AB:CD"), row);
  EXPECT_EQ(table.revoke_certificate(row).error().code, Code::not_found);
}

TEST_F(DatabaseTest, RefusesADatabaseOfANewerProgram) {
  ASSERT_TRUE(Database::open(path()));
  run_sql("INSERT INTO schema_migrations VALUES (999, 'from the future')");
  const auto database = Database::open(path());
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, Code::unavailable);
  EXPECT_NE(database.error().message.find("newer"), std::string::npos);
}

TEST_F(DatabaseTest, LeavesNothingOfAMigrationThatFails) {
  // A table of the migration's name is in the way of its second statement.
  run_sql("CREATE TABLE settings (x)");
  ASSERT_FALSE(Database::open(path()));
  run_sql("DROP TABLE settings");
  const auto database = Database::open(path());
  ASSERT_TRUE(database) << database.error().message;
  EXPECT_EQ(*(*database)->schema_version(), migrations().back().version);
}

TEST_F(DatabaseTest, SaysWhenTheFileIsNoDatabase) {
  std::ofstream(path()) << std::string(8192, 'x');
  const auto database = Database::open(path());
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, Code::corrupt) << database.error().message;
}

}  // namespace
}  // namespace deepmoat::store
