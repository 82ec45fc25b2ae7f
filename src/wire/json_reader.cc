#include "wire/json_reader.h"

#include <fmt/format.h>

#include <cmath>

namespace deepmoat::wire {

std::unexpected<Refusal> refuse(std::string param, std::string message, std::string code) {
  return std::unexpected(invalid(std::move(param), std::move(message), std::move(code)));
}

std::unexpected<Refusal> refuse_missing(std::string param) {
  std::string message = fmt::format("'{}' is missing.", param);
  return refuse(std::move(param), std::move(message), "missing_required_parameter");
}

std::unexpected<Refusal> refuse_type(std::string param, std::string_view must_be) {
  std::string message = fmt::format("'{}' must be {}.", param, must_be);
  return refuse(std::move(param), std::move(message), "invalid_type");
}

std::unexpected<Refusal> refuse_unsupported(std::string param, std::string_view instead) {
  std::string message = fmt::format("'{}' is not supported by this server{}{}.", param,
                                    instead.empty() ? "" : "; ", instead);
  return refuse(std::move(param), std::move(message), "unsupported_parameter");
}

std::optional<Element> find_field(const Object& object, std::string_view name) {
  Element element;
  if (object.at_key(name).get(element) != simdjson::SUCCESS || element.is_null()) {
    return std::nullopt;
  }
  return element;
}

OrRefusal<std::optional<std::string>> read_text(const Object& object, std::string_view name) {
  const auto element = find_field(object, name);
  if (!element) {
    return std::nullopt;
  }
  std::string_view text;
  if (element->get(text) != simdjson::SUCCESS) {
    return std::unexpected(
        invalid(std::string(name), fmt::format("'{}' must be a string.", name), "invalid_type"));
  }
  return std::string(text);
}

OrRefusal<std::optional<bool>> read_bool(const Object& object, std::string_view name) {
  const auto element = find_field(object, name);
  if (!element) {
    return std::nullopt;
  }
  bool value = false;
  if (element->get(value) != simdjson::SUCCESS) {
    return std::unexpected(invalid(
        std::string(name), fmt::format("'{}' must be true or false.", name), "invalid_type"));
  }
  return value;
}

OrRefusal<std::optional<double>> read_number(const Object& object, std::string_view name,
                                             double low, double high) {
  const auto element = find_field(object, name);
  if (!element) {
    return std::nullopt;
  }
  double value = 0;
  if (element->get(value) != simdjson::SUCCESS) {
    return std::unexpected(
        invalid(std::string(name), fmt::format("'{}' must be a number.", name), "invalid_type"));
  }
  if (!(value >= low && value <= high)) {
    return std::unexpected(
        invalid(std::string(name),
                fmt::format("'{}' is {} and must be {} to {}.", name, value, low, high)));
  }
  return value;
}

OrRefusal<std::optional<Object>> read_object(const Object& object, std::string_view name) {
  const auto element = find_field(object, name);
  if (!element) {
    return std::nullopt;
  }
  Object value;
  if (element->get(value) != simdjson::SUCCESS) {
    return refuse_type(std::string(name), "an object");
  }
  return value;
}

OrRefusal<std::optional<simdjson::dom::array>> read_list(const Object& object,
                                                         std::string_view name) {
  const auto element = find_field(object, name);
  if (!element) {
    return std::nullopt;
  }
  simdjson::dom::array value;
  if (element->get(value) != simdjson::SUCCESS) {
    return refuse_type(std::string(name), "a list");
  }
  return value;
}

OrRefusal<std::optional<std::vector<std::string>>> read_texts(const Object& object,
                                                              std::string_view name) {
  TRY(const auto list, read_list(object, name));
  if (!list) {
    return std::nullopt;
  }
  std::vector<std::string> texts;
  for (const Element item : *list) {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) {
      return refuse_type(std::string(name), "a list of strings");
    }
    texts.emplace_back(text);
  }
  return texts;
}

std::string json_text(const Element& element) {
  return simdjson::minify(element);
}

std::string json_text(const Object& object) {
  return simdjson::minify(object);
}

bool asks_nothing(const Object& object, std::string_view name) {
  const auto element = find_field(object, name);
  if (!element) {
    return true;
  }
  bool flag = true;
  double number = 1;
  std::string_view text = "x";
  simdjson::dom::array list;
  return (element->get(flag) == simdjson::SUCCESS && !flag) ||
         (element->get(number) == simdjson::SUCCESS && number == 0) ||
         (element->get(text) == simdjson::SUCCESS && text.empty()) ||
         (element->get(list) == simdjson::SUCCESS && list.size() == 0);
}

std::optional<std::int64_t> as_integer(const Element& element) {
  std::int64_t value = 0;
  if (element.get(value) == simdjson::SUCCESS) {
    return value;
  }
  double real = 0;
  if (element.is_double() && element.get(real) == simdjson::SUCCESS && std::trunc(real) == real &&
      std::abs(real) < 9e15) {
    return static_cast<std::int64_t>(real);
  }
  return std::nullopt;
}

OrRefusal<std::optional<std::int64_t>> read_integer(const Object& object, std::string_view name,
                                                    std::int64_t low, std::int64_t high) {
  const auto element = find_field(object, name);
  if (!element) {
    return std::nullopt;
  }
  const auto value = as_integer(*element);
  if (!value) {
    return std::unexpected(invalid(
        std::string(name), fmt::format("'{}' must be a whole number.", name), "invalid_type"));
  }
  if (*value < low || *value > high) {
    return std::unexpected(
        invalid(std::string(name),
                fmt::format("'{}' is {} and must be {} to {}.", name, *value, low, high)));
  }
  return value;
}

}  // namespace deepmoat::wire
