// A client's second factor: one-time passwords, and recovery codes for the day on which the
// device is lost. An administrator enrols and removes it; what is dangerous to do with a key
// alone (rotating it) asks verify() first.
//
// A factor belongs to a tenant's client, not to a key. Its one row is sealed by a MAC, and its
// secret is encrypted. Blocking; on the thread of the database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/strong.h"
#include "crypto/field_cipher.h"
#include "crypto/key_file.h"
#include "crypto/one_time_password.h"
#include "identity/audited_action.h"
#include "identity/authenticator.h"
#include "identity/row_seal.h"
#include "store/database.h"

namespace deepmoat::identity {

inline constexpr std::int64_t kFactorFailuresMax = 5;
inline constexpr std::int64_t kFactorLockMs = 15LL * 60 * 1000;
inline constexpr std::size_t kRecoveryCodes = 10;

// Four groups of four digits of base32 in lower case, such as "abcd-efgh-2345-wxyz": 80 bits.
[[nodiscard]] bool is_recovery_code(std::string_view text);

// Code::invalid_argument for a text that is neither a one-time password nor a recovery code.
[[nodiscard]] Result<> check_code(std::string_view code);

struct FactorOwner {
  std::string tenant{kHomeTenant};
  std::string client_id;
};

struct FactorInfo {
  FactorOwner owner;
  std::string algorithm;
  UnixMillis enrolled_ms = 0;
  UnixMillis confirmed_ms = 0;     // 0: it does not count yet
  UnixMillis locked_until_ms = 0;  // 0: it is not locked
  std::size_t recovery_codes_left = 0;
};

struct Enrolment {
  FactorInfo info;
  Secret secret;  // base32; with `uri`, the only time that it is shown
  Secret uri;     // otpauth://, for a QR code
};

struct Confirmation {
  FactorInfo info;
  std::vector<Secret> recovery_codes;  // the only time that they are shown
};

class SecondFactors {
 public:
  // All that is referred to must outlive it.
  SecondFactors(store::Database& database, AppendAudit append, const Authenticator& authenticator,
                crypto::FieldCipher& cipher, const crypto::RootSecrets& secrets,
                const Clock& clock);
  SecondFactors(const SecondFactors&) = delete;
  SecondFactors& operator=(const SecondFactors&) = delete;

  // What an administrator does; each is on record. Errors of all: Code::invalid_argument with the
  // field, Code::not_found also for tenants that the actor does not reach, Code::unavailable.

  // A new secret, which counts once confirm() has seen a code of it. Code::already_exists when a
  // factor counts: remove it first. Takes the place of one that was never confirmed.
  Result<Enrolment> enrol(const Actor& actor, const FactorOwner& owner,
                          crypto::OtpAlgorithm algorithm);
  Result<Confirmation> confirm(const Actor& actor, const FactorOwner& owner, std::string_view code);
  Result<FactorInfo> status(const Actor& actor, const FactorOwner& owner);
  Result<> remove(const Actor& actor, const FactorOwner& owner);

  // Does `permitted` if `code`, a one-time password or a recovery code, is right, in the
  // transaction that uses the code up: never one without the other. The caller audits.
  // Code::invalid_argument for a text of neither form, before anything is computed;
  // Code::not_found without a factor that counts; Code::permission_denied for a code that is wrong
  // or was used; Code::resource_exhausted while locked: 15 minutes after 5 failures in a row,
  // across restarts. What `permitted` returns as an error leaves the code unused.
  Result<> verify(const FactorOwner& owner, std::string_view code,
                  const std::function<Result<>()>& permitted);

  // Whether the client has one that counts, so that verify() can succeed. Code::corrupt when it was
  // altered from outside.
  Result<bool> counts(const FactorOwner& owner);

  // Seconds until a lock ends; 0 when there is none.
  Result<std::uint32_t> locked_for_s(const FactorOwner& owner);

 private:
  [[nodiscard]] UnixMillis now_ms() const;
  Result<store::SecondFactorRow> find(const FactorOwner& owner);
  Result<> save(store::SecondFactorRow row);
  Result<> prove(store::SecondFactorRow& row, std::string_view code);
  Result<bool> use_one_time_password(store::SecondFactorRow& row, std::string_view code);
  bool use_recovery_code(store::SecondFactorRow& row, std::string_view code) const;
  Result<std::vector<Secret>> make_recovery_codes(store::SecondFactorRow& row) const;
  [[nodiscard]] std::string row_mac(const store::SecondFactorRow& row) const;
  [[nodiscard]] std::string recovery_mac(const store::SecondFactorRow& row,
                                         std::string_view code) const;
  [[nodiscard]] FactorInfo info_of(const store::SecondFactorRow& row) const;

  store::Database& database_;
  AppendAudit append_;
  const Authenticator& authenticator_;
  crypto::FieldCipher& cipher_;
  RowSeal rows_;
  RowSeal recovery_;
  const Clock& clock_;
};

}  // namespace deepmoat::identity
