// What is wrong with [audit] of a configuration, before a server rests on it: for `deepmoat config
// check`, and for everything that opens a data folder.
#pragma once

#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "store/database.h"

namespace deepmoat::cli {

// Each names the key, the value and the fix. Looks at no file and asks nobody.
[[nodiscard]] std::vector<std::string> audit_problems(const Config& config);

// The files and folders that it names and that a server could not use now.
[[nodiscard]] std::vector<std::string> audit_file_problems(const Config& config);

// Code::invalid_argument with all that audit_problems() says, a line each.
[[nodiscard]] Result<> check_audit_config(const Config& config);

// To the log, for each of audit.medical_tenants that there is not: a tenant written wrongly keeps
// its records too short, and one may be made later. Blocking.
void warn_of_unknown_tenants(const Config& config, store::Database& database);

}  // namespace deepmoat::cli
