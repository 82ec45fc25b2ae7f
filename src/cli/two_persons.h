// Where the configuration wants two persons, a command without a server is one.
#pragma once

#include <string_view>

#include "base/config.h"
#include "base/result.h"
#include "identity/roles.h"

namespace deepmoat::cli {

// `action`: as in the audit log. Code::permission_denied, with the fix, for one that needs two.
[[nodiscard]] Result<> check_one_person_may(const Config& config, std::string_view action);
// The same of making a key of this role.
[[nodiscard]] Result<> check_one_person_may_make_key(const Config& config, identity::Role role);

}  // namespace deepmoat::cli
