// A person proves who he is, and gets a session: with his password and a one-time password of his
// second factor, or with the client certificate that was issued to his name.
//
// Whoever fails is told one thing, whatever was wrong, so that nobody learns from outside who
// exists, which half was right and who is locked; the audit log says it. Five wrong passwords in a
// row lock the person for 15 minutes, across restarts, and so do five wrong one-time passwords.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "identity/audited_action.h"
#include "identity/authenticator.h"
#include "identity/people.h"
#include "identity/second_factor.h"
#include "identity/sessions.h"
#include "identity/successors.h"

namespace deepmoat::identity {

inline constexpr std::int64_t kPasswordFailuresMax = 5;
inline constexpr std::int64_t kPasswordLockMs = 15LL * 60 * 1000;

struct SignInAttempt {
  PersonName who;
  Secret password;
  std::string one_time_password;  // or a recovery code
  Secret new_password;            // takes the place of the old one; empty: it stays
  std::string address;            // of the peer, without port
  std::string request_id;
  std::shared_ptr<std::atomic<std::uint64_t>> on_record = {};  // Actor's
};

// The form of all that was sent; `certified`: with a client certificate, which needs no password.
// Code::invalid_argument with the field.
[[nodiscard]] Result<> check_form(const SignInAttempt& attempt, bool certified);

// What the slow half found out.
struct PasswordProof {
  bool fits = false;
  std::string hash;      // that it was held against
  std::string new_hash;  // of the attempt's new password; empty: none, or it was not worth it
};

class SignIn {
 public:
  // All that is referred to must outlive it.
  SignIn(AppendAudit append, const Authenticator& authenticator, People& people,
         SecondFactors& factors, Successors& successors, Sessions& sessions, const Clock& clock);

  // With a password, in three steps: begin() and finish() on the database's thread, prove() on
  // another, as it takes 0.2 s.

  // The hash to hold the password against; nobody's when there is no such person. All of
  // this class REQUIRE: check_form(attempt) is well.
  Result<std::string> begin(const SignInAttempt& attempt);
  [[nodiscard]] Result<PasswordProof> prove(const SignInAttempt& attempt, std::string hash) const;
  // On record as "session.open". Code::unauthenticated: the one answer to all that could tell a
  // stranger something. Code::permission_denied: the password is right, but is one that somebody
  // else has seen, and no new one came with it. Code::not_found: the password is right, and there
  // is no second factor. A new password ends the person's other sessions.
  Result<OpenedSession> finish(const SignInAttempt& attempt, const PasswordProof& proof);

  // With a certificate that the TLS handshake has verified, issued since the person has his role; a
  // password in the attempt is not looked at. `enough`: whether a certificate alone will do for the
  // role. On the database's thread; on record and refused as finish() does it.
  Result<OpenedSession> with_certificate(const SignInAttempt& attempt,
                                         const CertifiedClient& certified,
                                         const std::function<bool(Role)>& enough);

  // The person ends his own session: "session.close".
  Result<> sign_out(const Actor& actor, const KeyId& session);

 private:
  using Body = std::function<Result<OpenedSession>(AuditedAction&)>;
  [[nodiscard]] UnixMillis now_ms() const;
  Result<OpenedSession> on_record(const Actor& actor, const PersonName& who, const Body& body);
  Result<store::PersonRow> person_for(const PersonName& who, AuditedAction& action);
  Result<> count_failure(store::PersonRow row);
  Result<OpenedSession> open(const store::PersonRow& row, SessionPlace place,
                             AuditedAction& action);
  Result<OpenedSession> check(const SignInAttempt& attempt, const PasswordProof& proof,
                              AuditedAction& action);

  AppendAudit append_;
  const Authenticator& authenticator_;
  People& people_;
  SecondFactors& factors_;
  Successors& successors_;
  Sessions& sessions_;
  const Clock& clock_;
};

}  // namespace deepmoat::identity
