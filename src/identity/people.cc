#include "identity/people.h"

#include <utility>

#include "base/random.h"
#include "crypto/one_time_password.h"
#include "identity/api_key.h"
#include "identity/key_attributes.h"
#include "identity/key_service.h"

namespace deepmoat::identity {

namespace {

using audit::Operation;

constexpr std::size_t kGivenPasswordBytes = 15;  // 24 digits of base32: 120 bits
constexpr std::size_t kGivenPasswordGroup = 6;

// Nothing unchecked that is longer than a name.
std::string resource_of(const PersonName& who) {
  return who.tenant.substr(0, 63) + "/" + who.name.substr(0, 63);
}

bool is_himself(const Actor& actor, const PersonName& who) {
  return actor.operator_id == who.name && actor.tenant.value() == who.tenant;
}

// "abcdef-ghijkl-234567-mnopqr": easy to read out, and too long to guess.
Result<Secret> make_password() {
  TRY(std::string bytes, random_bytes(kGivenPasswordBytes));
  const Secret random(std::move(bytes));
  const Secret digits = crypto::base32(random.reveal());
  std::string text;
  std::size_t written = 0;
  for (const char digit : digits.reveal()) {
    if (written > 0 && written % kGivenPasswordGroup == 0) {
      text += '-';
    }
    text += digit >= 'A' && digit <= 'Z' ? static_cast<char>(digit - 'A' + 'a') : digit;
    ++written;
  }
  return Secret(std::move(text));
}

std::string summary_of(const ChangePerson& change) {
  std::string text;
  if (change.role) {
    add_to(text, "role", role_name(*change.role));
  }
  if (change.disabled) {
    add_to(text, "disabled", *change.disabled ? "true" : "false");
  }
  if (change.label) {
    add_to(text, "label", plain_or_quoted(*change.label));
  }
  return text;
}

}  // namespace

Result<> check_password(std::string_view field, std::string_view name, const Secret& password) {
  const std::string_view text = password.reveal();
  const auto wrong = [&](const std::string& what) {
    return fail(Code::invalid_argument, std::string(field) + ": " + what);
  };
  if (text.size() < kPasswordBytesMin || text.size() > kPasswordBytesMax) {
    return wrong("must have 12 to 256 characters; several words with blanks between them do well");
  }
  if (text.find(name) != std::string_view::npos) {
    return wrong("must not hold the person's name");
  }
  if (text.find_first_not_of(text.front()) == std::string_view::npos) {
    return wrong("must not be one character over and over");
  }
  return {};
}

People::People(store::Database& database, AppendAudit append, const Authenticator& authenticator,
               SecondFactors& factors, Sessions& sessions, const crypto::RootSecrets& secrets,
               const Clock& clock, crypto::PasswordCost cost)
    : database_(database),
      append_(std::move(append)),
      authenticator_(authenticator),
      factors_(factors),
      sessions_(sessions),
      rows_(database, secrets),
      clock_(clock),
      cost_(cost) {}

UnixMillis People::now_ms() const {
  return authenticator_.latest_ms(clock_.unix_ms());
}

Result<store::PersonRow> People::find(const Actor& actor, const PersonName& who) {
  CHECK_OK(check_name("name", who.name));
  CHECK_OK(check_name("tenant", who.tenant));
  if (!reaches(actor.tenant, TenantId(who.tenant))) {
    return fail(Code::not_found, "no such person");
  }
  TRY(std::optional<store::PersonRow> row, rows_.find(who));
  if (!row) {
    return fail(Code::not_found, "no such person");
  }
  return *std::move(row);
}

PersonInfo People::info_of(const store::PersonRow& row) {
  const Result<bool> factor = factors_.counts({.tenant = row.tenant, .client_id = row.name});
  return {.who = {.tenant = row.tenant, .name = row.name},
          .role = row.role,
          .label = row.label,
          .must_change = row.must_change,
          .second_factor = factor.value_or(false),
          .intact = rows_.intact(row),
          .created_ms = row.created_ms,
          .password_ms = row.password_ms,
          .disabled_ms = row.disabled_ms,
          .locked_until_ms = now_ms() < row.locked_until_ms ? row.locked_until_ms : 0};
}

// The row has the password's hash afterwards, and is not stored yet.
Result<Secret> People::give_password(store::PersonRow& row) {
  TRY(Secret password, make_password());
  const PersonName who{.tenant = row.tenant, .name = row.name};
  TRY(row.password_hash, crypto::hash_password(rows_.peppered(who, password), cost_));
  row.password_ms = now_ms();
  row.must_change = true;
  row.failures = 0;
  row.locked_until_ms = 0;
  return password;
}

std::size_t People::end_sessions_of(const PersonName& who) {
  return sessions_.end_all_of(TenantId(who.tenant), ClientId(who.name));
}

Result<PersonWithPassword> People::create(const Actor& actor, const CreatePerson& request) {
  const PersonName& who = request.who;
  return audited<PersonWithPassword>(
      append_, actor,
      {Operation::write, "person.create", resource_of(who),
       "role=" + std::string(role_name(request.role))},
      [&](AuditedAction&) -> Result<PersonWithPassword> {
        CHECK_OK(check_name("name", who.name));
        CHECK_OK(check_name("tenant", who.tenant));
        CHECK_OK(check_text("label", request.label, kLabelBytesMax));
        if (!reaches(actor.tenant, TenantId(who.tenant))) {
          return fail(Code::permission_denied,
                      "tenant: people of another tenant need an administrator of tenant "
                      "\"default\"");
        }
        CHECK_OK(check_grant(actor, permissions_of(request.role)));
        TRY(const auto known, rows_.find(who));
        if (known) {
          return fail(Code::already_exists, "name: the tenant has a person of this name");
        }
        store::PersonRow row;
        row.tenant = who.tenant;
        row.name = who.name;
        row.role = role_name(request.role);
        row.role_ms = now_ms();
        row.label = request.label;
        row.created_ms = now_ms();
        TRY(Secret password, give_password(row));
        CHECK_OK(database_.ensure_tenant(
            {.name = row.tenant, .organisation = "", .label = "", .created_ms = row.created_ms}));
        CHECK_OK(rows_.insert(row));
        return PersonWithPassword{.info = info_of(row), .password = std::move(password)};
      });
}

Result<std::vector<PersonInfo>> People::list(const Actor& actor) {
  using Infos = std::vector<PersonInfo>;
  return audited<Infos>(append_, actor, {Operation::read, "person.list", "", ""},
                        [&](AuditedAction&) -> Result<Infos> {
                          TRY(const auto rows, rows_.list());
                          Infos infos;
                          for (const store::PersonRow& row : rows) {
                            if (reaches(actor.tenant, TenantId(row.tenant))) {
                              infos.push_back(info_of(row));
                            }
                          }
                          return infos;
                        });
}

Result<PersonInfo> People::show(const Actor& actor, const PersonName& who) {
  return audited<PersonInfo>(append_, actor, {Operation::read, "person.show", resource_of(who), ""},
                             [&](AuditedAction&) -> Result<PersonInfo> {
                               TRY(const store::PersonRow row, find(actor, who));
                               return info_of(row);
                             });
}

Result<PersonInfo> People::change(const Actor& actor, const PersonName& who,
                                  const ChangePerson& change) {
  return audited<PersonInfo>(
      append_, actor, {Operation::write, "person.change", resource_of(who), summary_of(change)},
      [&](AuditedAction&) -> Result<PersonInfo> {
        if (change.label) {
          CHECK_OK(check_text("label", *change.label, kLabelBytesMax));
        }
        TRY(store::PersonRow row, find(actor, who));
        const bool other_role = change.role && role_name(*change.role) != row.role;
        const bool disables = change.disabled.value_or(false);
        if (is_himself(actor, who) && (other_role || disables)) {
          return fail(Code::permission_denied,
                      "nobody changes his own role or disables himself; ask another administrator");
        }
        const bool enables = change.disabled && !disables && row.disabled_ms != 0;
        if (enables) {  // gives back what the role has
          TRY(const Role role, parse_role(row.role));
          CHECK_OK(check_grant(actor, permissions_of(role)));
        }
        if (other_role) {
          CHECK_OK(check_grant(actor, permissions_of(*change.role)));
          row.role = role_name(*change.role);
          row.role_ms = now_ms();
        }
        row.label = change.label.value_or(row.label);
        if (change.disabled) {
          row.disabled_ms = !disables ? 0 : row.disabled_ms != 0 ? row.disabled_ms : now_ms();
        }
        if (other_role || disables) {
          end_sessions_of(who);  // what takes a right away need not wait for the disk
        }
        CHECK_OK(rows_.update(row));
        return info_of(row);
      });
}

Result<PersonWithPassword> People::reset_password(const Actor& actor, const PersonName& who) {
  return audited<PersonWithPassword>(
      append_, actor, {Operation::write, "person.reset_password", resource_of(who), ""},
      [&](AuditedAction&) -> Result<PersonWithPassword> {
        TRY(store::PersonRow row, find(actor, who));
        TRY(const Role role, parse_role(row.role));
        CHECK_OK(check_grant(actor, permissions_of(role)));
        TRY(Secret password, give_password(row));
        CHECK_OK(rows_.update(row));
        end_sessions_of(who);
        return PersonWithPassword{.info = info_of(row), .password = std::move(password)};
      });
}

Result<std::size_t> People::sign_out(const Actor& actor, const PersonName& who) {
  return audited<std::size_t>(append_, actor,
                              {Operation::write, "person.sign_out", resource_of(who), ""},
                              [&](AuditedAction&) -> Result<std::size_t> {
                                TRY([[maybe_unused]] const store::PersonRow row, find(actor, who));
                                return end_sessions_of(who);
                              });
}

Result<> People::remove(const Actor& actor, const PersonName& who) {
  return audited<void>(append_, actor, {Operation::erase, "person.remove", resource_of(who), ""},
                       [&](AuditedAction&) -> Result<> {
                         const Result<store::PersonRow> row = find(actor, who);
                         // One that was altered from outside can go, and nothing else.
                         if (!row && row.error().code != Code::corrupt) {
                           return std::unexpected(row.error());
                         }
                         if (is_himself(actor, who)) {
                           return fail(Code::permission_denied,
                                       "nobody removes himself; ask another administrator");
                         }
                         end_sessions_of(who);
                         return rows_.erase(who);
                       });
}

Result<std::vector<SessionInfo>> People::sessions(const Actor& actor) {
  using Infos = std::vector<SessionInfo>;
  return audited<Infos>(append_, actor, {Operation::read, "session.list", "", ""},
                        [&](AuditedAction&) -> Result<Infos> {
                          Infos open = sessions_.list(now_ms());
                          std::erase_if(open, [&](const SessionInfo& session) {
                            return !reaches(actor.tenant, session.tenant);
                          });
                          return open;
                        });
}

}  // namespace deepmoat::identity
