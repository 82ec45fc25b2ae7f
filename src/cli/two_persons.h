// Where the configuration wants two persons, a command without a server is one.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/config.h"
#include "base/result.h"
#include "gateway/routes.h"
#include "identity/roles.h"

namespace deepmoat::cli {

// `action`: as in the audit log. Code::permission_denied, with the fix, for one that needs two.
[[nodiscard]] Result<> check_one_person_may(const Config& config, std::string_view action);
// The same of giving somebody this role, with a key or as a person.
[[nodiscard]] Result<> check_one_person_may_give(const Config& config, identity::Role role);
// The same of a body of this route, where the route gives roles.
[[nodiscard]] Result<> check_one_person_may_give(const Config& config, const gateway::Route& route,
                                                 const nlohmann::ordered_json& body);

}  // namespace deepmoat::cli
