// A key's row as JSON, for the admin interface and the command line alike.
#pragma once

#include <nlohmann/json.hpp>

#include "identity/key_service.h"

namespace deepmoat::gateway {

[[nodiscard]] nlohmann::ordered_json key_json(const identity::KeyInfo& key);

}  // namespace deepmoat::gateway
