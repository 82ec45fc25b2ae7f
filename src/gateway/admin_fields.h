// The bodies of the administrators' and auditors' interfaces: read as an object with known fields,
// each of a known type; written as one thing or a list. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
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

// {"object":"list","data":[...]}
template <class T, class ToJson>
nlohmann::ordered_json list_json(const std::vector<T>& list, const ToJson& to_json) {
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  for (const T& entry : list) {
    data.push_back(to_json(entry));
  }
  return {{"object", "list"}, {"data", std::move(data)}};
}

template <class T, class ToJson>
wire::OrRefusal<nlohmann::ordered_json> answered(const Result<T>& result, const ToJson& to_json) {
  if (!result) {
    return std::unexpected(wire::to_field_refusal(result.error()));
  }
  return nlohmann::ordered_json(to_json(*result));
}

}  // namespace deepmoat::gateway
