// Reading fields of a JSON object with errors that name them; for the parsers of wire/ alone.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "wire/refusal.h"

namespace deepmoat::wire {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;

// One field of an object. A field that is absent or null gives an empty optional; one of the
// wrong type or outside its bounds gives a Refusal with `param` set to its name.
[[nodiscard]] std::optional<Element> find_field(const Object& object, std::string_view name);
[[nodiscard]] OrRefusal<std::optional<std::string>> read_text(const Object& object,
                                                              std::string_view name);
[[nodiscard]] OrRefusal<std::optional<bool>> read_bool(const Object& object, std::string_view name);
[[nodiscard]] OrRefusal<std::optional<double>> read_number(const Object& object,
                                                           std::string_view name, double low,
                                                           double high);
[[nodiscard]] OrRefusal<std::optional<std::int64_t>> read_integer(const Object& object,
                                                                  std::string_view name,
                                                                  std::int64_t low,
                                                                  std::int64_t high);

// The value as a whole number; accepts 3 and 3.0.
[[nodiscard]] std::optional<std::int64_t> as_integer(const Element& element);

}  // namespace deepmoat::wire
