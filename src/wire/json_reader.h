// Reading fields of a JSON object with errors that name them; for the parsers of wire/ alone.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/refusal.h"

namespace deepmoat::wire {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;

// A 400 about the field `param`, as an error value.
[[nodiscard]] std::unexpected<Refusal> refuse(std::string param, std::string message,
                                              std::string code = "invalid_value");
[[nodiscard]] std::unexpected<Refusal> refuse_missing(std::string param);
// "'tools' must be a list."
[[nodiscard]] std::unexpected<Refusal> refuse_type(std::string param, std::string_view must_be);
// `instead` says what this server takes; empty: nothing does.
[[nodiscard]] std::unexpected<Refusal> refuse_unsupported(std::string param,
                                                          std::string_view instead = "");

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

[[nodiscard]] OrRefusal<std::optional<Object>> read_object(const Object& object,
                                                           std::string_view name);
[[nodiscard]] OrRefusal<std::optional<simdjson::dom::array>> read_list(const Object& object,
                                                                       std::string_view name);
// A list of strings.
[[nodiscard]] OrRefusal<std::optional<std::vector<std::string>>> read_texts(const Object& object,
                                                                            std::string_view name);

// Names the place in the error of one of its fields: "messages[2].role".
template <class T>
[[nodiscard]] OrRefusal<T> in(const std::string& at, OrRefusal<T> field) {
  if (!field) {
    field.error().param = at + "." + field.error().param;
  }
  return field;
}

// The value as JSON text without white space, its members in their order.
[[nodiscard]] std::string json_text(const Element& element);
[[nodiscard]] std::string json_text(const Object& object);

// Whether the field asks for nothing: absent, null, false, 0, "" or [].
[[nodiscard]] bool asks_nothing(const Object& object, std::string_view name);

// The value as a whole number; accepts 3 and 3.0.
[[nodiscard]] std::optional<std::int64_t> as_integer(const Element& element);

}  // namespace deepmoat::wire
