// What an administrator does with people: create, list, show, change, give a new password, sign
// out, remove. A person is somebody who signs in (sign_in.h) rather than a program with a key.
// His second factor is that of the client with his name (second_factor.h).
//
// Blocking, 0.2 s where a password is made; on the database's thread.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret.h"
#include "crypto/key_file.h"
#include "crypto/password.h"
#include "identity/audited_action.h"
#include "identity/authenticator.h"
#include "identity/person_rows.h"
#include "identity/roles.h"
#include "identity/second_factor.h"
#include "identity/sessions.h"
#include "store/database.h"

namespace deepmoat::identity {

// Length is what makes a password strong, not its letters (NIST SP 800-63B, 5.1.1.2).
inline constexpr std::size_t kPasswordBytesMin = 12;
inline constexpr std::size_t kPasswordBytesMax = 256;

struct PersonInfo {
  PersonName who;
  std::string role;  // text: an altered row may hold anything
  std::string label;
  bool must_change = false;    // the password is the one that the administrator saw
  bool second_factor = false;  // one counts
  bool intact = true;          // false: the row was altered from outside, nobody can sign in
  UnixMillis created_ms = 0;
  UnixMillis password_ms = 0;      // of the password in force
  UnixMillis disabled_ms = 0;      // 0 = not disabled
  UnixMillis locked_until_ms = 0;  // 0 = not locked
};

struct CreatePerson {
  PersonName who;
  Role role = Role::user;
  std::string label;
};

struct ChangePerson {
  std::optional<Role> role = {};
  std::optional<std::string> label = {};
  std::optional<bool> disabled = {};
};

struct PersonWithPassword {
  PersonInfo info;
  Secret password;  // the only time that it is shown; good for one sign-in, which sets another
};

// Code::invalid_argument names `field`. `name`: whose password it is to be.
[[nodiscard]] Result<> check_password(std::string_view field, std::string_view name,
                                      const Secret& password);

class People {
 public:
  // All that is referred to must outlive it. `cost`: less only in tests.
  People(store::Database& database, AppendAudit append, const Authenticator& authenticator,
         SecondFactors& factors, Sessions& sessions, const crypto::RootSecrets& secrets,
         const Clock& clock, crypto::PasswordCost cost = {});
  People(const People&) = delete;
  People& operator=(const People&) = delete;

  // Each is on record. Errors of all: Code::invalid_argument with the field, Code::not_found also
  // for people of tenants that the actor does not reach, Code::permission_denied for an actor with
  // scopes who would give more than he has, Code::unavailable.

  // Code::already_exists for a name that the tenant has.
  Result<PersonWithPassword> create(const Actor& actor, const CreatePerson& request);
  // Of the tenants that the actor reaches, by tenant and name.
  Result<std::vector<PersonInfo>> list(const Actor& actor);
  Result<PersonInfo> show(const Actor& actor, const PersonName& who);
  // A new role or being disabled ends the person's sessions. Nobody changes his own role or
  // disables himself (Code::permission_denied), so that the last one is not locked out.
  Result<PersonInfo> change(const Actor& actor, const PersonName& who, const ChangePerson& change);
  // Ends the sessions and the lock too.
  Result<PersonWithPassword> reset_password(const Actor& actor, const PersonName& who);
  // Ends all sessions; returns how many they were.
  Result<std::size_t> sign_out(const Actor& actor, const PersonName& who);
  Result<> remove(const Actor& actor, const PersonName& who);
  // Open sessions of the tenants that the actor reaches.
  Result<std::vector<SessionInfo>> sessions(const Actor& actor);

  // For sign_in.h.
  [[nodiscard]] PersonRows& rows() { return rows_; }
  [[nodiscard]] crypto::PasswordCost cost() const { return cost_; }

 private:
  [[nodiscard]] UnixMillis now_ms() const;
  Result<store::PersonRow> find(const Actor& actor, const PersonName& who);
  [[nodiscard]] PersonInfo info_of(const store::PersonRow& row);
  Result<Secret> give_password(store::PersonRow& row);
  std::size_t end_sessions_of(const PersonName& who);

  store::Database& database_;
  AppendAudit append_;
  const Authenticator& authenticator_;
  SecondFactors& factors_;
  Sessions& sessions_;
  PersonRows rows_;
  const Clock& clock_;
  const crypto::PasswordCost cost_;
};

}  // namespace deepmoat::identity
