// CPU variants of the engine that faulted on this processor: remembered, so that the next start
// does not try them again.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "store/database.h"

namespace deepmoat::cli {

// Those of this processor's model; another machine with the same data folder tries all again.
[[nodiscard]] Result<std::vector<std::string>> avoided_cpu_variants(store::Database& database);

// Adds one; a failure costs only time at the next start and is logged.
void avoid_cpu_variant(store::Database& database, const std::string& variant);

}  // namespace deepmoat::cli
