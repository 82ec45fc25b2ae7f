// Second factors. On the thread of the database; see the header.
#include "identity/second_factor.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/hex.h"
#include "base/random.h"
#include "crypto/digest.h"
#include "identity/api_key.h"

namespace deepmoat::identity {

namespace {

constexpr std::string_view kRowPurpose = "deepmoat second factor row 1";
constexpr std::string_view kRecoveryPurpose = "deepmoat recovery code 1";
constexpr std::string_view kIssuer = "Deepmoat";
constexpr std::size_t kMacDigits = 64;
constexpr std::size_t kRecoveryBytes = 10;
constexpr std::size_t kRecoveryGroup = 4;
constexpr std::size_t kRecoveryTextBytes = 19;

// Where the secret lives. A new enrolment is a new version: the secret of an older one does not
// open in its place.
crypto::FieldPlace place_of(const store::SecondFactorRow& row) {
  return {.tenant = row.tenant,
          .table = "second_factors",
          .column = "secret",
          .row = row.client_id,
          .version = static_cast<std::uint64_t>(row.enrolled_ms)};
}

std::string account_of(const FactorOwner& owner) {
  return owner.tenant == kHomeTenant ? owner.client_id : owner.tenant + "/" + owner.client_id;
}

// The name of a factor in the audit log; nothing unchecked that is longer than a name.
std::string resource_of(const FactorOwner& owner) {
  return owner.tenant.substr(0, 63) + "/" + owner.client_id.substr(0, 63);
}

Result<> check_owner(const Actor& actor, const FactorOwner& owner) {
  CHECK_OK(check_name("client_id", owner.client_id));
  CHECK_OK(check_name("tenant", owner.tenant));
  if (!reaches(actor.tenant, TenantId(owner.tenant))) {
    return fail(Code::not_found, "no such client");
  }
  return {};
}

}  // namespace

bool is_recovery_code(std::string_view text) {
  if (text.size() != kRecoveryTextBytes) {
    return false;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool digit = (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
    if (i % (kRecoveryGroup + 1) == kRecoveryGroup ? c != '-' : !digit) {
      return false;
    }
  }
  return true;
}

Result<> check_code(std::string_view code) {
  if (!crypto::is_one_time_password(code) && !is_recovery_code(code)) {
    return fail(Code::invalid_argument,
                "one_time_password: must be exactly six digits 0-9, or a recovery code such as "
                "abcd-efgh-2345-wxyz");
  }
  return {};
}

SecondFactors::SecondFactors(store::Database& database, AppendAudit append,
                             const Authenticator& authenticator, crypto::FieldCipher& cipher,
                             const crypto::RootSecrets& secrets, const Clock& clock)
    : database_(database),
      append_(std::move(append)),
      authenticator_(authenticator),
      cipher_(cipher),
      rows_(secrets, kRowPurpose),
      recovery_(secrets, kRecoveryPurpose),
      clock_(clock) {}

UnixMillis SecondFactors::now_ms() const {
  return authenticator_.latest_ms(clock_.unix_ms());
}

FactorInfo SecondFactors::info_of(const store::SecondFactorRow& row) const {
  return {.owner = {.tenant = row.tenant, .client_id = row.client_id},
          .algorithm = row.algorithm,
          .enrolled_ms = row.enrolled_ms,
          .confirmed_ms = row.confirmed_ms,
          .locked_until_ms = now_ms() < row.locked_until_ms ? row.locked_until_ms : 0,
          .recovery_codes_left = row.recovery.size() / kMacDigits};
}

std::string SecondFactors::row_mac(const store::SecondFactorRow& row) const {
  return rows_.mac(
      {row.tenant, row.client_id, row.algorithm, row.secret, row.recovery},
      {row.enrolled_ms, row.confirmed_ms, row.last_counter, row.failures, row.locked_until_ms});
}

std::string SecondFactors::recovery_mac(const store::SecondFactorRow& row,
                                        std::string_view code) const {
  return recovery_.mac({row.tenant, row.client_id, code}, {row.enrolled_ms});
}

Result<store::SecondFactorRow> SecondFactors::find(const FactorOwner& owner) {
  TRY(std::optional<store::SecondFactorRow> row,
      database_.find_second_factor(owner.tenant, owner.client_id));
  if (!row) {
    return fail(Code::not_found, "client " + owner.client_id +
                                     " has no second factor; an administrator enrols one: "
                                     "deepmoat totp enrol --client-id " +
                                     owner.client_id);
  }
  if (!crypto::equal_constant_time(row->row_mac, row_mac(*row))) {
    return fail(Code::corrupt, "the second factor of client " + owner.client_id +
                                   " was altered from outside; remove it and enrol a new one");
  }
  return *std::move(row);
}

Result<> SecondFactors::save(store::SecondFactorRow row) {
  row.row_mac = row_mac(row);
  return database_.put_second_factor(row);
}

Result<Enrolment> SecondFactors::enrol(const Actor& actor, const FactorOwner& owner,
                                       crypto::OtpAlgorithm algorithm) {
  return audited<Enrolment>(
      append_, actor, {audit::Operation::write, "second_factor.enrol", resource_of(owner), ""},
      [&](AuditedAction&) -> Result<Enrolment> {
        CHECK_OK(check_owner(actor, owner));
        const Result<store::SecondFactorRow> old = find(owner);
        if (!old && old.error().code != Code::not_found) {
          return std::unexpected(old.error());
        }
        if (old && old->confirmed_ms != 0) {
          return fail(Code::already_exists,
                      "client " + owner.client_id + " has a second factor; remove it first");
        }
        TRY(const Secret secret, crypto::make_otp_secret(algorithm));
        store::SecondFactorRow row;
        row.tenant = owner.tenant;
        row.client_id = owner.client_id;
        row.algorithm = crypto::algorithm_name(algorithm);
        row.enrolled_ms = now_ms();
        TRY(const std::string sealed, cipher_.seal(place_of(row), secret.reveal()));
        row.secret = to_hex(sealed);
        if (old) {  // enrolling again is no way around the lock
          row.failures = old->failures;
          row.locked_until_ms = old->locked_until_ms;
        }
        CHECK_OK(save(row));
        return Enrolment{.info = info_of(row),
                         .secret = crypto::base32(secret.reveal()),
                         .uri = crypto::otpauth_uri(algorithm, secret, kIssuer, account_of(owner))};
      });
}

Result<Confirmation> SecondFactors::confirm(const Actor& actor, const FactorOwner& owner,
                                            std::string_view code) {
  return audited<Confirmation>(
      append_, actor, {audit::Operation::write, "second_factor.confirm", resource_of(owner), ""},
      [&](AuditedAction&) -> Result<Confirmation> {
        CHECK_OK(check_owner(actor, owner));
        CHECK_OK(check_code(code));
        TRY(store::SecondFactorRow row, find(owner));
        if (row.confirmed_ms != 0) {
          return fail(Code::already_exists, "the second factor was confirmed before");
        }
        CHECK_OK(prove(row, code));
        row.confirmed_ms = now_ms();
        TRY(std::vector<Secret> codes, make_recovery_codes(row));
        CHECK_OK(save(row));
        return Confirmation{.info = info_of(row), .recovery_codes = std::move(codes)};
      });
}

Result<FactorInfo> SecondFactors::status(const Actor& actor, const FactorOwner& owner) {
  return audited<FactorInfo>(
      append_, actor, {audit::Operation::read, "second_factor.status", resource_of(owner), ""},
      [&](AuditedAction&) -> Result<FactorInfo> {
        CHECK_OK(check_owner(actor, owner));
        TRY(const store::SecondFactorRow row, find(owner));
        return info_of(row);
      });
}

Result<> SecondFactors::remove(const Actor& actor, const FactorOwner& owner) {
  return audited<void>(append_, actor,
                       {audit::Operation::erase, "second_factor.remove", resource_of(owner), ""},
                       [&](AuditedAction&) -> Result<> {
                         CHECK_OK(check_owner(actor, owner));
                         return database_.erase_second_factor(owner.tenant, owner.client_id);
                       });
}

Result<> SecondFactors::verify(const FactorOwner& owner, std::string_view code,
                               const std::function<Result<>()>& permitted) {
  CHECK_OK(check_code(code));
  TRY(store::SecondFactorRow row, find(owner));
  if (row.confirmed_ms == 0) {
    return fail(Code::not_found, "the second factor of client " + owner.client_id +
                                     " was never confirmed; an administrator does that: deepmoat "
                                     "totp confirm --client-id " +
                                     owner.client_id);
  }
  CHECK_OK(prove(row, code));
  return database_.transaction([&]() -> Result<> {
    CHECK_OK(save(row));
    return permitted();
  });
}

Result<bool> SecondFactors::counts(const FactorOwner& owner) {
  const Result<store::SecondFactorRow> row = find(owner);
  if (!row) {
    return row.error().code == Code::not_found ? Result<bool>(false) : std::unexpected(row.error());
  }
  return row->confirmed_ms != 0;
}

Result<std::uint32_t> SecondFactors::locked_for_s(const FactorOwner& owner) {
  TRY(const store::SecondFactorRow row, find(owner));
  const UnixMillis left_ms = row.locked_until_ms - now_ms();
  return static_cast<std::uint32_t>(left_ms > 0 ? (left_ms + 999) / 1000 : 0);
}

// On success `row` has the code used up and is not stored yet. A failure is stored before it is
// answered, so that a restart forgets none.
Result<> SecondFactors::prove(store::SecondFactorRow& row, std::string_view code) {
  const UnixMillis now = now_ms();
  if (now < row.locked_until_ms) {
    return fail(Code::resource_exhausted,
                fmt::format("too many wrong one-time passwords; wait {} seconds",
                            (row.locked_until_ms - now + 999) / 1000));
  }
  bool right = false;
  if (crypto::is_one_time_password(code)) {
    TRY(right, use_one_time_password(row, code));
  } else {
    right = use_recovery_code(row, code);
  }
  if (right) {
    row.failures = 0;
    row.locked_until_ms = 0;
    return {};
  }
  if (++row.failures >= kFactorFailuresMax) {
    row.failures = 0;
    row.locked_until_ms = now + kFactorLockMs;
  }
  CHECK_OK(save(row));
  return fail(Code::permission_denied,
              "one_time_password: wrong, or used before; wait for the next one");
}

Result<bool> SecondFactors::use_one_time_password(store::SecondFactorRow& row,
                                                  std::string_view code) {
  TRY(const crypto::OtpAlgorithm algorithm, crypto::parse_otp_algorithm(row.algorithm));
  TRY(const std::string sealed, from_hex(row.secret));
  TRY(const Secret secret, cipher_.open(place_of(row), sealed));
  TRY(const std::optional<std::uint64_t> counter,
      crypto::match_one_time_password(algorithm, secret, code, now_ms()));
  const auto matched = static_cast<std::int64_t>(counter.value_or(0));
  if (!counter || matched <= row.last_counter) {  // the second is a replay
    return false;
  }
  row.last_counter = matched;
  return true;
}

bool SecondFactors::use_recovery_code(store::SecondFactorRow& row, std::string_view code) const {
  const std::string mac = recovery_mac(row, code);
  std::optional<std::size_t> found;
  for (std::size_t at = 0; at + kMacDigits <= row.recovery.size(); at += kMacDigits) {
    if (crypto::equal_constant_time(std::string_view(row.recovery).substr(at, kMacDigits), mac)) {
      found = at;
    }
  }
  if (found) {
    row.recovery.erase(*found, kMacDigits);
  }
  return found.has_value();
}

Result<std::vector<Secret>> SecondFactors::make_recovery_codes(store::SecondFactorRow& row) const {
  std::vector<Secret> codes;
  row.recovery.clear();
  for (std::size_t i = 0; i < kRecoveryCodes; ++i) {
    TRY(std::string bytes, random_bytes(kRecoveryBytes));
    const Secret random(std::move(bytes));
    const Secret digits = crypto::base32(random.reveal());
    std::string text;
    for (const char digit : digits.reveal()) {
      if (text.size() % (kRecoveryGroup + 1) == kRecoveryGroup) {
        text += '-';
      }
      text += digit >= 'A' && digit <= 'Z' ? static_cast<char>(digit - 'A' + 'a') : digit;
    }
    row.recovery += recovery_mac(row, text);
    codes.emplace_back(std::move(text));
  }
  return codes;
}

}  // namespace deepmoat::identity
