// What everything that an auditor sets has: an id, a reason, a tenant that he reaches, and his
// name.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "identity/audited_action.h"
#include "store/database.h"

namespace deepmoat::oversight {

inline constexpr std::size_t kReasonBytesMin = 5;
inline constexpr std::size_t kReasonBytesMax = 200;
inline constexpr std::size_t kSettingIdBytes = 4 + 24;

// `prefix` of 4 characters and 24 random hex digits.
[[nodiscard]] Result<std::string> new_setting_id(std::string_view prefix);

// Code::invalid_argument, naming the field `reason`.
[[nodiscard]] Result<> check_reason(std::string_view reason);

// Empty `tenant`: all. Code::permission_denied, naming the field `tenant`, when the actor does not
// reach it.
[[nodiscard]] Result<> check_reach(const identity::Actor& actor, std::string_view tenant);

// A setting of a tenant that is not there would hold, or keep, nothing, and say that it is in
// force. Empty: all. Code::invalid_argument, naming the field `tenant`.
[[nodiscard]] Result<> check_tenant_exists(store::Database& database, const std::string& tenant);

// The whole id of the key that `reference` names: an id, or a prefix of one, of 8 characters at
// least, that fits one key only. Code::invalid_argument, naming the field `key_id`, also for keys
// of tenants that the actor does not reach.
[[nodiscard]] Result<std::string> whole_key_id(store::Database& database,
                                               const identity::Actor& actor,
                                               const std::string& reference);

// Whether the actor may know of a setting of `tenant`; that of all tenants is the home tenant's.
[[nodiscard]] bool may_see(const identity::Actor& actor, std::string_view tenant);

// What an auditor of the home tenant has set on another tenant is not that one's to take away.
// `made_by` as name_of() writes it. Code::permission_denied.
[[nodiscard]] Result<> check_made_by(const identity::Actor& actor, std::string_view made_by);

// "tenant/client_id".
[[nodiscard]] std::string name_of(const identity::Actor& actor);

// A time of the interface, in seconds of Unix time; 0: none. Code::invalid_argument, naming it.
[[nodiscard]] Result<> check_time_s(std::string_view field, std::int64_t unix_s);

}  // namespace deepmoat::oversight
