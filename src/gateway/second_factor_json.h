// Second factors and rotated keys as JSON, for the admin interface and the command line alike.
#pragma once

#include <nlohmann/json.hpp>

#include "identity/key_rotation.h"
#include "identity/second_factor.h"

namespace deepmoat::gateway {

[[nodiscard]] nlohmann::ordered_json factor_json(const identity::FactorInfo& factor);

// These hold what is shown only once: a secret, recovery codes, a key. Log none of them.
[[nodiscard]] nlohmann::ordered_json enrolment_json(const identity::Enrolment& enrolment);
[[nodiscard]] nlohmann::ordered_json confirmation_json(const identity::Confirmation& confirmation);
[[nodiscard]] nlohmann::ordered_json rotated_json(const identity::RotatedKey& rotated);

}  // namespace deepmoat::gateway
