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
#include "crypto/one_time_password.h"
#include "crypto/scratch_field_cipher.h"
#include "identity/authenticator.h"
#include "identity/key_authority.h"
#include "identity/key_rotation.h"
#include "identity/key_service.h"
#include "identity/second_factor.h"
#include "store/database.h"

namespace deepmoat::identity {

constexpr UnixMillis kTestNowMs = 1'795'000'000'123;

inline crypto::RootSecrets test_secrets(char fill = 's') {
  return {.signing = Secret(std::string(32, fill)),
          .pepper = Secret(std::string(32, static_cast<char>(fill + 1))),
          .audit_fingerprint = Secret(std::string(32, static_cast<char>(fill + 2))),
          .id = std::string(32, 'a')};
}

class ScratchKeys {
 public:
  ScratchKeys()
      : authority_(secrets_),
        authenticator_(authority_),
        cipher_(secrets_.signing),
        clock_(kTestNowMs) {
    std::string name = (std::filesystem::temp_directory_path() / "deepmoat-id-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    restart();
  }
  ~ScratchKeys() {
    rotation_.reset();
    factors_.reset();
    service_.reset();
    database_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ScratchKeys(const ScratchKeys&) = delete;
  ScratchKeys& operator=(const ScratchKeys&) = delete;

  // Opens database and service anew, as a start of the server does.
  void restart() {
    rotation_.reset();
    factors_.reset();
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
    factors_ = std::make_unique<SecondFactors>(
        *database_, [this](audit::Record record) { return append(std::move(record)); },
        authenticator_, cipher_, secrets_, clock_);
    rotation_ = std::make_unique<KeyRotation>(
        *database_, [this](audit::Record record) { return append(std::move(record)); }, *service_,
        authenticator_, authority_, *factors_, clock_);
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
  // A client's secret, confirmed by the code of the step before now: now's may still be used.
  std::string enrolled(const FactorOwner& owner) {
    const auto made = factors_->enrol(admin(), owner, crypto::OtpAlgorithm::totp_sha256);
    EXPECT_TRUE(made) << made.error().message;
    std::string secret = from_base32(made->secret.reveal());
    const auto confirmed = factors_->confirm(admin(), owner, code_of(secret, -1));
    EXPECT_TRUE(confirmed) << confirmed.error().message;
    recovery_codes_.clear();
    for (const Secret& code : confirmed->recovery_codes) {
      recovery_codes_.emplace_back(code.reveal());
    }
    return secret;
  }
  // What the client's device shows `steps` from now.
  [[nodiscard]] std::string code_of(std::string_view secret, std::int64_t steps = 0) const {
    const std::uint64_t counter = crypto::otp_counter(clock_.unix_ms() + steps * 30'000);
    return std::string(crypto::one_time_password(crypto::OtpAlgorithm::totp_sha256,
                                                 Secret::copy_of(secret), counter)
                           ->reveal());
  }
  // A rotation as the gateway does one; "ok", or the code of what refused it.
  std::string rotated(std::string_view shown, const std::string& code, RotatedKey* made = nullptr) {
    const auto principal =
        authenticator_.authenticate_for_rotation(shown, clock_.unix_ms(), address_);
    if (!principal) {
      return std::string(failure_code(principal.error().kind));
    }
    Actor actor = admin_of(principal->tenant.value());
    actor.operator_id = principal->client_id.value();
    actor.key_id = principal->key_id.value();
    auto done = rotation_->rotate(actor, principal->key_id, code, kKeyLifetimeMaxS);
    if (done && made != nullptr) {
      *made = *std::move(done);
    }
    return done ? "ok" : std::string(code_name(done.error().code));
  }
  static std::string from_base32(std::string_view text) {
    std::string bytes;
    std::uint32_t pending = 0;
    unsigned bits = 0;
    for (const char c : text) {
      pending = (pending << 5U) | static_cast<std::uint32_t>(c >= 'A' ? c - 'A' : c - '2' + 26);
      bits += 5;
      if (bits >= 8) {
        bits -= 8;
        bytes += static_cast<char>((pending >> bits) & 0xffU);
      }
    }
    return bytes;
  }
  // "ok", or the failure's code.
  [[nodiscard]] std::string tried(std::string_view shown) const {
    const auto principal = authenticator_.authenticate(shown, clock_.unix_ms());
    return principal ? "ok" : std::string(failure_code(principal.error().kind));
  }

  std::filesystem::path folder_;
  crypto::RootSecrets secrets_ = test_secrets();
  KeyAuthority authority_;
  Authenticator authenticator_;
  crypto::ScratchFieldCipher cipher_;
  ManualClock clock_;
  std::vector<audit::Record> records_;
  std::string address_;              // of who rotates
  std::optional<int> appends_left_;  // then every append fails
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<KeyService> service_;
  std::unique_ptr<SecondFactors> factors_;
  std::unique_ptr<KeyRotation> rotation_;
  std::vector<std::string> recovery_codes_;  // of the client enrolled last
};

}  // namespace deepmoat::identity
