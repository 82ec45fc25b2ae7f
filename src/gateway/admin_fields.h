// Reads the bodies of the administrators' and auditors' interfaces: an object with known fields,
// each of a known type. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "wire/refusal.h"

namespace deepmoat::gateway {

// `fields`: those that there are; another one is refused, as it may be a misspelt one.
[[nodiscard]] wire::OrRefusal<nlohmann::ordered_json> object_in(
    const std::string& body, std::initializer_list<std::string_view> fields);

// None: the field is not there. Refusals name it.
[[nodiscard]] wire::OrRefusal<std::optional<std::string>> text_in(
    const nlohmann::ordered_json& request, const char* name);
[[nodiscard]] wire::OrRefusal<std::optional<std::int64_t>> whole_number_in(
    const nlohmann::ordered_json& request, const char* name);
[[nodiscard]] wire::OrRefusal<std::optional<double>> number_in(
    const nlohmann::ordered_json& request, const char* name);

[[nodiscard]] wire::Refusal missing_field(const char* name);

}  // namespace deepmoat::gateway
