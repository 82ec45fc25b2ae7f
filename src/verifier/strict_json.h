// JSON in which no name stands twice: two readers would see two different things. Any thread.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace deepmoat::verifier {

using Json = nlohmann::json;

// Nothing unless `text` is one JSON object, nested at most 8 deep, without a name that is there
// twice in one object.
[[nodiscard]] std::optional<Json> parse_object(std::string_view text);

// Whether `object` has all of `names` and, but for `optional`, nothing else.
[[nodiscard]] bool has_exactly(const Json& object, std::initializer_list<std::string_view> names,
                               std::string_view optional = "");

// The text of a field, or null.
[[nodiscard]] const std::string* text_of(const Json& object, const char* name);

// False unless the field is an integer of at least 0.
[[nodiscard]] bool number_of(const Json& object, const char* name, std::uint64_t& number);

}  // namespace deepmoat::verifier
