// Second factors: nothing counts twice, nothing counts before it is confirmed, guessing ends.
#include "identity/second_factor.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "base/hex.h"
#include "identity/scratch_keys.h"

namespace deepmoat::identity {
namespace {

using audit::Operation;
using audit::Outcome;
using crypto::OtpAlgorithm;

const FactorOwner kApp{.tenant = "default", .client_id = "app"};
constexpr std::int64_t kStepMs = crypto::kOtpStepMs;

Result<> permit() {
  return {};
}

// "ok", or the name of the error's code.
std::string tried(ScratchKeys& keys, const std::string& code, const FactorOwner& owner = kApp) {
  const auto done = keys.factors_->verify(owner, code, permit);
  return done ? "ok" : std::string(code_name(done.error().code));
}

TEST(SecondFactor, CountsOnceItIsConfirmed) {
  ScratchKeys keys;
  EXPECT_EQ(tried(keys, "123456"), "not_found");
  const auto made = keys.factors_->enrol(keys.admin(), kApp, OtpAlgorithm::totp_sha256);
  ASSERT_TRUE(made) << made.error().message;
  const std::string secret = ScratchKeys::from_base32(made->secret.reveal());
  EXPECT_EQ(secret.size(), 32U);
  EXPECT_NE(made->uri.reveal().find(made->secret.reveal()), std::string_view::npos);
  EXPECT_EQ(made->info.confirmed_ms, 0);
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "not_found") << "nobody has confirmed it";
  EXPECT_EQ(keys.factors_->confirm(keys.admin(), kApp, keys.code_of(secret, 5)).error().code,
            Code::permission_denied);
  const auto confirmed = keys.factors_->confirm(keys.admin(), kApp, keys.code_of(secret));
  ASSERT_TRUE(confirmed) << confirmed.error().message;
  EXPECT_EQ(confirmed->info.confirmed_ms, kTestNowMs);
  EXPECT_EQ(confirmed->info.recovery_codes_left, kRecoveryCodes);
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "permission_denied") << "confirming used it up";
  keys.clock_.advance_ms(kStepMs);
  keys.restart();
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "ok");
}

TEST(SecondFactor, WorksWithEveryAlgorithm) {
  for (const OtpAlgorithm algorithm : crypto::kOtpAlgorithms) {
    ScratchKeys keys;
    const auto made = keys.factors_->enrol(keys.admin(), kApp, algorithm);
    ASSERT_TRUE(made);
    const Secret secret(ScratchKeys::from_base32(made->secret.reveal()));
    const std::uint64_t now = crypto::otp_counter(kTestNowMs);
    const auto first = crypto::one_time_password(algorithm, secret, now);
    ASSERT_TRUE(keys.factors_->confirm(keys.admin(), kApp, first->reveal()));
    const auto second = crypto::one_time_password(algorithm, secret, now + 1);
    EXPECT_EQ(tried(keys, std::string(second->reveal())), "ok");
  }
}

TEST(SecondFactor, RefusesACodeASecondTime) {
  ScratchKeys keys;
  const std::string secret = keys.enrolled(kApp);
  const std::string code = keys.code_of(secret);
  EXPECT_EQ(tried(keys, code), "ok");
  EXPECT_EQ(tried(keys, code), "permission_denied");
  EXPECT_EQ(tried(keys, keys.code_of(secret, -1)), "permission_denied") << "older than the last";
  keys.restart();
  EXPECT_EQ(tried(keys, code), "permission_denied");
  EXPECT_EQ(tried(keys, keys.code_of(secret, 1)), "ok");
  keys.clock_.advance_ms(kStepMs);
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "permission_denied") << "it was the last but one's";
}

TEST(SecondFactor, RefusesEverySpellingButTheOneAndCountsNone) {
  ScratchKeys keys;
  const std::string secret = keys.enrolled(kApp);
  const std::string code = keys.code_of(secret);
  const std::string recovery = keys.recovery_codes_.front();
  std::string wide;
  for (const char digit : code) {
    wide += std::string("\xEF\xBC") + static_cast<char>(0x90 + digit - '0');  // U+FF10 and on
  }
  std::string upper = recovery;
  upper[0] = static_cast<char>(upper[0] - ('a' <= upper[0] && upper[0] <= 'z' ? 32 : 0));
  upper += upper == recovery ? "X" : "";
  std::string undivided = recovery;
  std::erase(undivided, '-');
  const std::vector<std::string> spellings{"",
                                           " " + code,
                                           code + " ",
                                           code + "\n",
                                           code.substr(0, 3) + " " + code.substr(3),
                                           "+" + code,
                                           "-" + code,
                                           "0" + code,
                                           code + "0",
                                           code.substr(1),
                                           wide,
                                           code + '\0',
                                           upper,
                                           undivided,
                                           " " + recovery,
                                           recovery + "-",
                                           recovery + recovery};
  for (const std::string& spelling : spellings) {
    EXPECT_EQ(tried(keys, spelling), "invalid_argument") << spelling;
  }
  EXPECT_EQ(keys.database_->find_second_factor("default", "app")->value().failures, 0);
  EXPECT_EQ(tried(keys, code), "ok");
}

TEST(SecondFactor, LocksAfterFiveFailuresAlsoAcrossRestarts) {
  ScratchKeys keys;
  const std::string secret = keys.enrolled(kApp);
  for (int i = 0; i < kFactorFailuresMax; ++i) {
    if (i == 3) {
      keys.restart();
    }
    EXPECT_EQ(tried(keys, keys.code_of(secret, 100 + i)), "permission_denied");
  }
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "resource_exhausted") << "even the right one";
  EXPECT_EQ(tried(keys, keys.recovery_codes_[0]), "resource_exhausted");
  keys.restart();
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "resource_exhausted");
  EXPECT_EQ(*keys.factors_->locked_for_s(kApp), 900U);
  EXPECT_EQ(keys.factors_->status(keys.admin(), kApp)->locked_until_ms, kTestNowMs + kFactorLockMs);
  keys.clock_.advance_ms(kFactorLockMs - 1);
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "resource_exhausted");
  keys.clock_.advance_ms(1);
  EXPECT_EQ(*keys.factors_->locked_for_s(kApp), 0U);
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "ok");
}

TEST(SecondFactor, ForgetsFailuresAtASuccess) {
  ScratchKeys keys;
  const std::string secret = keys.enrolled(kApp);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kFactorFailuresMax - 1; ++i) {
      EXPECT_EQ(tried(keys, keys.code_of(secret, 100)), "permission_denied");
    }
    EXPECT_EQ(tried(keys, keys.code_of(secret)), "ok");
    keys.clock_.advance_ms(kStepMs);
  }
}

TEST(SecondFactor, CountsFailuresOfOneClientAlone) {
  ScratchKeys keys;
  keys.enrolled(kApp);
  const FactorOwner other{.tenant = "acme", .client_id = "app"};
  const std::string secret = keys.enrolled(other);
  for (int i = 0; i < kFactorFailuresMax; ++i) {
    tried(keys, keys.code_of(secret, 100));
  }
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "resource_exhausted");
  EXPECT_EQ(tried(keys, keys.code_of(secret), other), "ok");
}

TEST(SecondFactor, TakesEachRecoveryCodeOnce) {
  ScratchKeys keys;
  keys.enrolled(kApp);
  const std::vector<std::string> codes = keys.recovery_codes_;
  ASSERT_EQ(std::set<std::string>(codes.begin(), codes.end()).size(), kRecoveryCodes);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    EXPECT_TRUE(is_recovery_code(codes[i])) << codes[i];
    EXPECT_EQ(tried(keys, codes[i]), "ok");
    EXPECT_EQ(tried(keys, codes[i]), "permission_denied");
    EXPECT_EQ(keys.factors_->status(keys.admin(), kApp)->recovery_codes_left,
              kRecoveryCodes - 1 - i);
    keys.restart();
  }
  const FactorOwner other{.tenant = "default", .client_id = "other"};
  keys.enrolled(other);
  EXPECT_EQ(tried(keys, keys.recovery_codes_[0], kApp), "permission_denied") << "another client's";
  EXPECT_EQ(tried(keys, keys.recovery_codes_[0], other), "ok");
}

TEST(SecondFactor, LeavesACodeUnusedWhenWhatItPermitsFails) {
  ScratchKeys keys;
  const std::string secret = keys.enrolled(kApp);
  const std::string code = keys.code_of(secret);
  const auto failed = keys.factors_->verify(kApp, code, [&]() -> Result<> {
    EXPECT_TRUE(keys.database_->set_setting("half", "written"));
    return fail(Code::io, "the disk is full");
  });
  EXPECT_EQ(failed.error().code, Code::io);
  EXPECT_FALSE(keys.database_->setting("half")->has_value());
  EXPECT_EQ(tried(keys, code), "ok");
}

TEST(SecondFactor, IsNotRevivedByAClockThatIsSetBack) {
  ScratchKeys keys;
  const std::string secret = keys.enrolled(kApp);
  const std::string seen = keys.code_of(secret);  // by a thief, who could not use it in time
  keys.clock_.advance_ms(10 * kStepMs);
  EXPECT_EQ(tried(keys, keys.code_of(secret, 50)), "permission_denied");
  keys.clock_.advance_ms(-10 * kStepMs);
  EXPECT_EQ(tried(keys, seen), "permission_denied");
}

TEST(SecondFactor, IsReplacedOnlyWhileItDoesNotCount) {
  ScratchKeys keys;
  const auto first = keys.factors_->enrol(keys.admin(), kApp, OtpAlgorithm::totp_sha256);
  const std::string first_secret = ScratchKeys::from_base32(first->secret.reveal());
  keys.clock_.advance_ms(1);
  const std::string secret = keys.enrolled(kApp);
  EXPECT_NE(secret, first_secret);
  EXPECT_EQ(tried(keys, keys.code_of(first_secret)), "permission_denied");
  EXPECT_EQ(keys.factors_->enrol(keys.admin(), kApp, OtpAlgorithm::totp_sha1).error().code,
            Code::already_exists);
  EXPECT_EQ(keys.factors_->confirm(keys.admin(), kApp, keys.code_of(secret)).error().code,
            Code::already_exists);
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "ok");
  ASSERT_TRUE(keys.factors_->remove(keys.admin(), kApp));
  EXPECT_EQ(tried(keys, keys.code_of(secret, 1)), "not_found");
  EXPECT_EQ(keys.factors_->remove(keys.admin(), kApp).error().code, Code::not_found);
  EXPECT_EQ(keys.factors_->status(keys.admin(), kApp).error().code, Code::not_found);
  EXPECT_EQ(tried(keys, keys.code_of(keys.enrolled(kApp))), "ok");
}

TEST(SecondFactor, IsNotUnlockedByEnrollingAgain) {
  ScratchKeys keys;
  ASSERT_TRUE(keys.factors_->enrol(keys.admin(), kApp, OtpAlgorithm::totp_sha256));
  for (int i = 0; i < kFactorFailuresMax; ++i) {
    EXPECT_FALSE(keys.factors_->confirm(keys.admin(), kApp, "000000"));
  }
  const auto again = keys.factors_->enrol(keys.admin(), kApp, OtpAlgorithm::totp_sha256);
  ASSERT_TRUE(again);
  const std::string secret = ScratchKeys::from_base32(again->secret.reveal());
  EXPECT_EQ(keys.factors_->confirm(keys.admin(), kApp, keys.code_of(secret)).error().code,
            Code::resource_exhausted);
}

TEST(SecondFactor, KeepsTenantsApart) {
  ScratchKeys keys;
  const FactorOwner acme{.tenant = "acme", .client_id = "app"};
  keys.enrolled(acme);
  const Actor stranger = keys.admin_of("other");
  EXPECT_EQ(keys.factors_->enrol(stranger, acme, OtpAlgorithm::totp_sha1).error().code,
            Code::not_found);
  EXPECT_EQ(keys.factors_->confirm(stranger, acme, "000000").error().code, Code::not_found);
  EXPECT_EQ(keys.factors_->status(stranger, acme).error().code, Code::not_found);
  EXPECT_EQ(keys.factors_->remove(stranger, acme).error().code, Code::not_found);
  EXPECT_TRUE(keys.factors_->status(keys.admin_of("acme"), acme));
  for (const FactorOwner& bad : {FactorOwner{"acme", "Upper"}, FactorOwner{"../x", "app"}}) {
    EXPECT_EQ(keys.factors_->status(keys.admin(), bad).error().code, Code::invalid_argument);
  }
}

TEST(SecondFactor, IsOnRecord) {
  ScratchKeys keys;
  keys.enrolled(kApp);
  ASSERT_TRUE(keys.factors_->status(keys.admin(), kApp));
  ASSERT_TRUE(keys.factors_->remove(keys.admin(), kApp));
  const std::vector<std::pair<std::string, Operation>> expected{
      {"second_factor.enrol", Operation::write},
      {"second_factor.confirm", Operation::write},
      {"second_factor.status", Operation::read},
      {"second_factor.remove", Operation::erase}};
  ASSERT_EQ(keys.records_.size(), 2 * expected.size());
  for (std::size_t i = 0; i < keys.records_.size(); ++i) {
    const audit::Record& record = keys.records_[i];
    EXPECT_EQ(record.action, expected[i / 2].first);
    EXPECT_EQ(record.operation, expected[i / 2].second);
    EXPECT_EQ(record.resource, "default/app");
    EXPECT_EQ(record.operator_id, "boss");
    EXPECT_EQ(record.outcome, i % 2 == 0 ? Outcome::pending : Outcome::success);
  }
  keys.appends_left_ = 0;
  EXPECT_EQ(keys.factors_->enrol(keys.admin(), kApp, OtpAlgorithm::totp_sha1).error().code,
            Code::unavailable);
  EXPECT_FALSE(keys.database_->find_second_factor("default", "app")->has_value());
}

using Edit = std::function<void(store::SecondFactorRow&)>;

// What somebody with the database file, and without the key file, could try.
TEST(SecondFactor, RefusesAnEditedRow) {
  ScratchKeys keys;
  const std::string secret = keys.enrolled(kApp);
  const FactorOwner mine{.tenant = "default", .client_id = "mine"};
  keys.enrolled(mine);
  const store::SecondFactorRow good = **keys.database_->find_second_factor("default", "app");
  const store::SecondFactorRow other = **keys.database_->find_second_factor("default", "mine");
  const std::vector<Edit> edits{
      [](store::SecondFactorRow& row) { row.algorithm = "totp-sha1"; },
      [&](store::SecondFactorRow& row) { row.secret = other.secret; },
      [&](store::SecondFactorRow& row) { row.recovery = other.recovery; },
      [](store::SecondFactorRow& row) { row.enrolled_ms += 1; },
      [](store::SecondFactorRow& row) { row.confirmed_ms += 1; },
      [](store::SecondFactorRow& row) { row.last_counter = 0; },
      [](store::SecondFactorRow& row) { row.failures = -1'000; },
      [](store::SecondFactorRow& row) { row.locked_until_ms = 1; },
      [](store::SecondFactorRow& row) { row.row_mac = std::string(64, '0'); },
      [&](store::SecondFactorRow& row) {
        row = other;
        row.client_id = "app";
      }};
  for (std::size_t i = 0; i < edits.size(); ++i) {
    store::SecondFactorRow edited = good;
    edits[i](edited);
    ASSERT_TRUE(keys.database_->put_second_factor(edited));
    EXPECT_EQ(tried(keys, keys.code_of(secret)), "corrupt") << i;
    EXPECT_EQ(keys.factors_->status(keys.admin(), kApp).error().code, Code::corrupt) << i;
    EXPECT_EQ(keys.factors_->enrol(keys.admin(), kApp, OtpAlgorithm::totp_sha1).error().code,
              Code::corrupt)
        << i;
  }
  ASSERT_TRUE(keys.database_->put_second_factor(good));
  EXPECT_EQ(tried(keys, keys.code_of(secret)), "ok");
}

TEST(SecondFactor, StoresNoSecretInTheOpen) {
  ScratchKeys keys;
  const std::string secret = keys.enrolled(kApp);
  std::vector<std::string> hidden{secret, to_hex(secret)};
  for (const std::string& code : keys.recovery_codes_) {
    hidden.push_back(code);
  }
  for (const auto& file : std::filesystem::directory_iterator(keys.folder_)) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    for (const std::string& text : hidden) {
      EXPECT_EQ(bytes.find(text), std::string::npos) << file.path();
    }
  }
}

}  // namespace
}  // namespace deepmoat::identity
