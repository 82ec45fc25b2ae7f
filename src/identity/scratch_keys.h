// For this module's tests: a folder that goes away, secrets, a database, a clock and a service
// over them, with the audit log as a vector that can be made to fail.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/record.h"
#include "base/clock.h"
#include "crypto/key_file.h"
#include "identity/authenticator.h"
#include "identity/key_authority.h"
#include "identity/key_service.h"
#include "store/database.h"

namespace deepmoat::identity {

constexpr UnixMillis kTestNowMs = 1'795'000'000'123;
constexpr UnixMillis kTestDayMs = 24LL * 60 * 60 * 1000;

inline crypto::RootSecrets test_secrets(char fill = 's') {
  return {.signing = Secret(std::string(32, fill)),
          .pepper = Secret(std::string(32, static_cast<char>(fill + 1))),
          .audit_fingerprint = Secret(std::string(32, static_cast<char>(fill + 2))),
          .id = std::string(32, 'a')};
}

class ScratchKeys {
 public:
  ScratchKeys() : authority_(test_secrets()), authenticator_(authority_), clock_(kTestNowMs) {
    std::string name = (std::filesystem::temp_directory_path() / "deepmoat-id-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    restart();
  }
  ~ScratchKeys() {
    service_.reset();
    database_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ScratchKeys(const ScratchKeys&) = delete;
  ScratchKeys& operator=(const ScratchKeys&) = delete;

  // Opens database and service anew, as a start of the server does.
  void restart() {
    service_.reset();
    database_.reset();
    auto database = store::Database::open(folder_ / "deepmoat.db");
    ASSERT_TRUE(database) << database.error().message;
    database_ = *std::move(database);
    auto service = KeyService::open(
        *database_, [this](audit::Record record) { return append(std::move(record)); },
        authenticator_, authority_, clock_, std::string(32, 'a'));
    ASSERT_TRUE(service) << service.error().message;
    service_ = *std::move(service);
  }

  Result<std::uint64_t> append(audit::Record record) {
    if (appends_left_ && (*appends_left_)-- == 0) {
      appends_left_ = 0;
      return fail(Code::unavailable, "audit: the disk is gone");
    }
    records_.push_back(std::move(record));
    return records_.size() - 1;
  }

  [[nodiscard]] Actor admin() const {
    return {.operator_id = "boss",
            .key_id = "key_of_boss",
            .role = "admin",
            .tenant = TenantId("default"),
            .authentication = "api_key",
            .ip_address = "192.0.2.1",
            .request_id = "req_1"};
  }
  [[nodiscard]] Actor admin_of(const std::string& tenant) const {
    Actor actor = admin();
    actor.tenant = TenantId(tenant);
    return actor;
  }
  CreatedKey make(const std::string& client_id, Role role = Role::user,
                  const std::string& tenant = "default") {
    auto created = service_->create(
        admin(), {.client_id = client_id, .role = role, .tenant = tenant, .label = ""});
    EXPECT_TRUE(created) << created.error().message;
    return created ? *std::move(created) : CreatedKey{};
  }
  // "ok", or the failure's code.
  [[nodiscard]] std::string tried(std::string_view shown) const {
    const auto principal = authenticator_.authenticate(shown, clock_.unix_ms());
    return principal ? "ok" : std::string(failure_code(principal.error().kind));
  }

  std::filesystem::path folder_;
  KeyAuthority authority_;
  Authenticator authenticator_;
  ManualClock clock_;
  std::vector<audit::Record> records_;
  std::optional<int> appends_left_;  // then every append fails
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<KeyService> service_;
};

}  // namespace deepmoat::identity
