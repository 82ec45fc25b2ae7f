// A version as the admin interface and the command line show it.
#pragma once

#include <nlohmann/json.hpp>

#include "catalog/catalog.h"

namespace deepmoat::catalog {

[[nodiscard]] nlohmann::ordered_json to_json(const Entry& entry);

// What an import brings: all but number, place, pin and time. Code::invalid_argument.
[[nodiscard]] Result<Entry> entry_from(const nlohmann::ordered_json& json);

}  // namespace deepmoat::catalog
