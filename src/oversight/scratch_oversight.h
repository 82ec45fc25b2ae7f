// For this module's tests: a database in a folder that goes away, a clock, a cipher, the audit log
// as a vector, and a hand from outside that edits rows.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <memory>
#include <string>
#include <vector>

#include "audit/record.h"
#include "base/clock.h"
#include "base/scratch_folder.h"
#include "crypto/key_file.h"
#include "crypto/scratch_field_cipher.h"
#include "identity/audited_action.h"
#include "oversight/content_policy.h"
#include "oversight/content_store.h"
#include "oversight/legal_hold.h"
#include "store/database.h"

namespace deepmoat::oversight {

inline constexpr UnixMillis kTestNowMs = 1'795'000'000'123;

class ScratchOversight {
 public:
  ScratchOversight() { restart(); }
  ScratchOversight(const ScratchOversight&) = delete;
  ScratchOversight& operator=(const ScratchOversight&) = delete;

  // Opens everything anew, as a start of the server does.
  void restart() {
    contents_.reset();
    holds_.reset();
    policies_.reset();
    database_.reset();
    database_ = taken(store::Database::open(file()));
    for (const char* tenant : {"acme", "globex"}) {
      EXPECT_TRUE(database_->ensure_tenant(
          {.name = tenant, .organisation = "", .label = "", .created_ms = kTestNowMs}));
    }
    const identity::AppendAudit append = [this](audit::Record record) -> Result<std::uint64_t> {
      if (log_is_full_) {
        return fail(Code::audit_unavailable, "the disk is full");
      }
      records_.push_back(std::move(record));
      return records_.size();
    };
    policies_ = taken(ContentPolicies::open(*database_, append, secrets_, clock_));
    holds_ = taken(LegalHolds::open(*database_, append, secrets_, clock_));
    contents_ =
        std::make_unique<ContentStore>(*database_, append, cipher_, *holds_, secrets_, clock_);
  }

  // A key as far as anything here looks at it.
  void add_key(const std::string& key_id, const std::string& tenant) {
    store::KeyRow row;
    row.key_id = key_id;
    row.lookup = key_id + std::string(64 - key_id.size(), '0');
    row.row_mac = std::string(64, '0');
    row.tenant = tenant;
    EXPECT_TRUE(database_->insert_key(row));
  }

  // Past the program, as whoever can write the file could do it.
  void edit(const std::string& statement) {
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(file().c_str(), &raw), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(raw, statement.c_str(), nullptr, nullptr, &error), SQLITE_OK)
        << (error == nullptr ? "" : error);
    EXPECT_GT(sqlite3_changes(raw), 0) << statement;
    sqlite3_free(error);
    sqlite3_close(raw);
  }

  [[nodiscard]] std::filesystem::path file() const { return folder_ / "deepmoat.db"; }

  static identity::Actor auditor(const std::string& tenant = "default") {
    return {.operator_id = "eve",
            .key_id = "key_of_eve",
            .role = "auditor",
            .tenant = TenantId(tenant),
            .authentication = "api_key",
            .ip_address = "192.0.2.1",
            .request_id = "req_1"};
  }

  template <class T>
  static T taken(Result<T> result) {
    EXPECT_TRUE(result) << result.error().message;
    return *std::move(result);
  }
  template <class T>
  static std::string code_of(const Result<T>& result) {
    return result ? "ok" : std::string(code_name(result.error().code));
  }

  ScratchFolder folder_;
  crypto::RootSecrets secrets_{.signing = Secret(std::string(32, 's')),
                               .pepper = Secret(std::string(32, 'p')),
                               .audit_fingerprint = Secret(std::string(32, 'f')),
                               .id = std::string(32, 'a')};
  crypto::ScratchFieldCipher cipher_{secrets_.signing};
  ManualClock clock_{kTestNowMs};
  bool log_is_full_ = false;
  std::vector<audit::Record> records_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<ContentPolicies> policies_;
  std::unique_ptr<LegalHolds> holds_;
  std::unique_ptr<ContentStore> contents_;
};

}  // namespace deepmoat::oversight
