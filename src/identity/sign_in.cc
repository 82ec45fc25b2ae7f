#include "identity/sign_in.h"

#include <utility>

#include "identity/api_key.h"

namespace deepmoat::identity {

namespace {

Actor actor_of(const SignInAttempt& attempt, std::string_view authentication) {
  Actor actor;
  actor.operator_id = attempt.who.name;  // claimed, until the result says success
  actor.tenant = TenantId(attempt.who.tenant);
  actor.authentication = authentication;
  actor.ip_address = attempt.address;
  actor.request_id = attempt.request_id;
  actor.on_record = attempt.on_record;
  return actor;
}

AuditedAction opening(const PersonName& who) {
  return {audit::Operation::write, "session.open", who.tenant + "/" + who.name, ""};
}

// The one answer; `why` is for the log.
std::unexpected<Error> refused(AuditedAction& action, std::string why) {
  action.refusal = std::move(why);
  return fail(Code::unauthenticated,
              "The sign-in is refused: the name, the password or the one-time password is wrong, "
              "or the person is disabled or locked (15 minutes after 5 failures).");
}

}  // namespace

Result<> check_form(const SignInAttempt& attempt, bool certified) {
  CHECK_OK(check_name("name", attempt.who.name));
  CHECK_OK(check_name("tenant", attempt.who.tenant));
  if (certified && attempt.password.empty()) {
    return {};  // nothing else is looked at
  }
  if (attempt.password.empty() || attempt.password.size() > kPasswordBytesMax) {
    return fail(Code::invalid_argument, "password: must have 1 to 256 characters");
  }
  CHECK_OK(check_code(attempt.one_time_password));
  if (attempt.new_password.empty()) {
    return {};
  }
  CHECK_OK(check_password("new_password", attempt.who.name, attempt.new_password));
  if (attempt.new_password.reveal() == attempt.password.reveal()) {
    return fail(Code::invalid_argument, "new_password: must not be the old one");
  }
  return {};
}

SignIn::SignIn(AppendAudit append, const Authenticator& authenticator, People& people,
               SecondFactors& factors, Successors& successors, Sessions& sessions,
               const Clock& clock)
    : append_(std::move(append)),
      authenticator_(authenticator),
      people_(people),
      factors_(factors),
      successors_(successors),
      sessions_(sessions),
      clock_(clock) {}

UnixMillis SignIn::now_ms() const {
  return authenticator_.latest_ms(clock_.unix_ms());
}

Result<std::string> SignIn::begin(const SignInAttempt& attempt) {
  const auto row = people_.rows().find(attempt.who);
  if (!row && row.error().code != Code::corrupt) {  // that is for finish() to put on record
    return std::unexpected(row.error());
  }
  // Whoever cannot sign in is nobody: the answer would not say so, but the time of a guess might.
  const bool somebody =
      row && *row && (*row)->disabled_ms == 0 && now_ms() >= (*row)->locked_until_ms;
  return somebody ? (*row)->password_hash : crypto::hash_of_nobody(people_.cost());
}

Result<PasswordProof> SignIn::prove(const SignInAttempt& attempt, std::string hash) const {
  const PersonRows& rows = people_.rows();
  PasswordProof proof;
  proof.fits = crypto::password_fits(rows.peppered(attempt.who, attempt.password), hash);
  proof.hash = std::move(hash);
  if (!attempt.new_password.empty()) {  // also of one that does not fit: that would take less time
    TRY(proof.new_hash,
        crypto::hash_password(rows.peppered(attempt.who, attempt.new_password), people_.cost()));
  }
  return proof;
}

// Somebody who may sign in at all.
Result<store::PersonRow> SignIn::person_for(const PersonName& who, AuditedAction& action) {
  TRY(std::optional<store::PersonRow> row, people_.rows().find(who));
  if (!row) {
    return refused(action, "unknown_person");
  }
  if (row->disabled_ms != 0) {
    return refused(action, "disabled");
  }
  return *std::move(row);
}

Result<> SignIn::count_failure(store::PersonRow row) {
  if (++row.failures >= kPasswordFailuresMax) {
    row.failures = 0;
    row.locked_until_ms = now_ms() + kPasswordLockMs;
  }
  return people_.rows().update(row);
}

Result<OpenedSession> SignIn::open(const store::PersonRow& row, SessionPlace place,
                                   AuditedAction& action) {
  TRY(const Role role, parse_role(row.role));
  TRY(OpenedSession opened,
      sessions_.open(TenantId(row.tenant), ClientId(row.name), role, std::move(place), now_ms()));
  action.resource = opened.info.id.value();
  return opened;
}

Result<OpenedSession> SignIn::check(const SignInAttempt& attempt, const PasswordProof& proof,
                                    AuditedAction& action) {
  TRY(store::PersonRow row, person_for(attempt.who, action));
  if (now_ms() < row.locked_until_ms) {
    return refused(action, "locked");
  }
  if (!proof.fits || proof.hash != row.password_hash) {  // the second: it was changed meanwhile
    CHECK_OK(count_failure(std::move(row)));
    return refused(action, "wrong_password");
  }
  if (row.must_change && proof.new_hash.empty()) {
    action.refusal = "password_change_required";
    return fail(Code::permission_denied,
                "new_password: the password was given by an administrator and is good for one "
                "sign-in only; send the one that you choose in its place");
  }
  row.failures = 0;
  row.locked_until_ms = 0;
  if (!proof.new_hash.empty()) {
    row.password_hash = proof.new_hash;
    row.password_ms = now_ms();
    row.must_change = false;
  }
  const Result<> verified =
      factors_.verify({.tenant = row.tenant, .client_id = row.name}, attempt.one_time_password,
                      [&] { return people_.rows().update(row); });
  if (!verified) {
    switch (verified.error().code) {
      case Code::permission_denied:
        return refused(action, "wrong_one_time_password");
      case Code::resource_exhausted:
        return refused(action, "second_factor_locked");
      case Code::not_found:
        action.refusal = "second_factor_missing";
        break;
      default:
        break;
    }
    return std::unexpected(verified.error());
  }
  if (!proof.new_hash.empty()) {
    sessions_.end_all_of(TenantId(row.tenant), ClientId(row.name));
  }
  return open(row, {.address = attempt.address, .fingerprint = ""}, action);
}

// A session of which nothing is on record is none.
Result<OpenedSession> SignIn::on_record(const Actor& actor, const PersonName& who,
                                        const Body& body) {
  KeyId opened;
  Result<OpenedSession> session = audited<OpenedSession>(
      append_, actor, opening(who), [&](AuditedAction& action) -> Result<OpenedSession> {
        Result<OpenedSession> made = body(action);
        opened = made ? made->info.id : KeyId();
        return made;
      });
  if (!session && !opened.value().empty()) {
    sessions_.end(opened);
  }
  return session;
}

Result<OpenedSession> SignIn::finish(const SignInAttempt& attempt, const PasswordProof& proof) {
  return on_record(actor_of(attempt, "password_and_otp"), attempt.who,
                   [&](AuditedAction& action) { return check(attempt, proof, action); });
}

Result<OpenedSession> SignIn::with_certificate(const SignInAttempt& attempt,
                                               const CertifiedClient& certified,
                                               const std::function<bool(Role)>& enough) {
  const PersonName& who = attempt.who;
  return on_record(actor_of(attempt, "client_certificate"), who,
                   [&](AuditedAction& action) -> Result<OpenedSession> {
                     if (certified.tenant.value() != who.tenant ||
                         certified.client_id.value() != who.name || certified.fingerprint.empty()) {
                       return refused(action, "certificate_of_somebody_else");
                     }
                     TRY(const store::PersonRow row, person_for(who, action));
                     TRY(const Role role, parse_role(row.role));
                     if (!enough(role)) {
                       return refused(action, "certificate_not_enough");
                     }
                     TRY(const std::optional<UnixMillis> issued, successors_.issued_at(certified));
                     if (!issued) {
                       return refused(action, "certificate_not_in_force");
                     }
                     // Whoever had it issued may not have been allowed to for the role that the
                     // person has now.
                     if (*issued < row.role_ms) {
                       return refused(action, "certificate_older_than_role");
                     }
                     return open(row,
                                 {.address = attempt.address, .fingerprint = certified.fingerprint},
                                 action);
                   });
}

Result<> SignIn::sign_out(const Actor& actor, const KeyId& session) {
  return audited<void>(
      append_, actor, {audit::Operation::write, "session.close", session.value(), ""},
      [&](AuditedAction&) -> Result<> {
        return sessions_.end(session) ? Result<>()
                                      : fail(Code::not_found, "the session has ended already");
      });
}

}  // namespace deepmoat::identity
