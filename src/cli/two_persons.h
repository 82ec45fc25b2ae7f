// Where the configuration wants two persons, a command without a server is one.
#pragma once

#include <string>
#include <string_view>

#include "base/config.h"
#include "base/result.h"

namespace deepmoat::cli {

// `action`: as in the audit log; `body`: as its route takes it. Code::permission_denied, with the
// fix, for what needs two.
[[nodiscard]] Result<> check_one_person_may(const Config& config, std::string_view action,
                                            const std::string& body = "");

}  // namespace deepmoat::cli
