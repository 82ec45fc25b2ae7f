// How one configuration key is described, read and bounded; for the tables of keys alone
// (config_keys.cc, config_list_keys.cc).
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/config_keys.h"

namespace deepmoat::config_internal {

using Problem = std::optional<std::string>;

struct Description {
  const char* section;
  const char* name;
  const char* meaning;
  bool reloadable = false;
};

inline constexpr bool kReloadable = true;

// Sections that may stand in the file many times.
inline bool is_repeated(std::string_view section) {
  return section == "model" || section == "tenant";
}

inline ConfigKey shown(const Description& d, std::string type, std::string fallback,
                       std::string bounds = "") {
  return {d.section,         d.name,       std::move(type),       std::move(fallback), d.meaning,
          std::move(bounds), d.reloadable, is_repeated(d.section)};
}

template <class Number>
Problem check_bounds(Number value, Number low, Number high) {
  if (value < low || value > high) {
    return fmt::format("is {} and must be {} to {}", value, low, high);
  }
  return std::nullopt;
}

struct Defaults {
  Config config = {};
  ModelConfig model = {};
  TenantConfig tenant = {};

  Target target() { return {config, &model, &tenant}; }
};

// `field` maps a Target to the integer to set.
template <class Field>
KeyRule integer(Description d, Field field, std::int64_t low, std::int64_t high) {
  Defaults defaults;
  const std::int64_t fallback = field(defaults.target());
  const auto assign = [field, low, high](Target target, std::int64_t value) -> Problem {
    if (auto problem = check_bounds(value, low, high)) {
      return problem;
    }
    field(target) = value;
    return std::nullopt;
  };
  return {
      shown(d, "integer", std::to_string(fallback), fmt::format("{} to {}", low, high)),
      [assign](Target target, const toml::node& node) -> Problem {
        const auto value = node.value_exact<std::int64_t>();
        return value ? assign(target, *value) : Problem("must be a whole number without quotes");
      },
      [assign](Target target, const std::string& text) -> Problem {
        std::int64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size()) {
          return "must be a whole number";
        }
        return assign(target, value);
      }};
}

template <class Field>
KeyRule number(Description d, Field field, double low, double high) {
  Defaults defaults;
  const double fallback = field(defaults.target());
  const auto assign = [field, low, high](Target target, double value) -> Problem {
    if (auto problem = check_bounds(value, low, high)) {
      return problem;
    }
    field(target) = value;
    return std::nullopt;
  };
  return {shown(d, "number", fmt::format("{}", fallback), fmt::format("{} to {}", low, high)),
          [assign](Target target, const toml::node& node) -> Problem {
            const auto value = node.is_number() ? node.value<double>() : std::nullopt;
            return value ? assign(target, *value) : Problem("must be a number without quotes");
          },
          [assign](Target target, const std::string& text) -> Problem {
            double value = 0;
            const char* end = text.data() + text.size();
            const auto [read, error] = std::from_chars(text.data(), end, value);
            if (error != std::errc{} || read != end) {
              return "must be a number";
            }
            return assign(target, value);
          }};
}

template <class Field>
KeyRule boolean(Description d, Field field) {
  Defaults defaults;
  const bool fallback = field(defaults.target());
  return {shown(d, "boolean", fallback ? "true" : "false"),
          [field](Target target, const toml::node& node) -> Problem {
            const auto value = node.value_exact<bool>();
            if (!value) {
              return "must be true or false, without quotes";
            }
            field(target) = *value;
            return std::nullopt;
          },
          [field](Target target, const std::string& text) -> Problem {
            if (text != "true" && text != "false") {
              return "must be true or false";
            }
            field(target) = text == "true";
            return std::nullopt;
          }};
}

template <class Field>
KeyRule text(Description d, Field field) {
  Defaults defaults;
  const std::string fallback = field(defaults.target());
  return {shown(d, "text", '"' + fallback + '"'),
          [field](Target target, const toml::node& node) -> Problem {
            const auto value = node.value_exact<std::string>();
            if (!value) {
              return "must be text in quotes";
            }
            field(target) = *value;
            return std::nullopt;
          },
          [field](Target target, const std::string& value) -> Problem {
            field(target) = value;
            return std::nullopt;
          }};
}

// Text that is one of `allowed`.
template <class Field>
KeyRule choice(Description d, Field field, std::vector<std::string> allowed) {
  KeyRule rule = text(d, field);
  const auto check = [allowed = std::move(allowed)](const std::string& value) -> Problem {
    if (std::ranges::find(allowed, value) != allowed.end()) {
      return std::nullopt;
    }
    std::string names;
    for (std::size_t i = 0; i < allowed.size(); ++i) {
      names += i == 0 ? "" : i + 1 < allowed.size() ? ", " : " or ";
      names += allowed[i];
    }
    return fmt::format("is \"{}\" and must be {}", value, names);
  };
  rule.set = [set = rule.set, check](Target target, const toml::node& node) -> Problem {
    const auto value = node.value_exact<std::string>();
    auto problem = value ? check(*value) : std::nullopt;
    return problem ? problem : set(target, node);
  };
  rule.set_text = [set = rule.set_text, check](Target target, const std::string& value) -> Problem {
    auto problem = check(value);
    return problem ? problem : set(target, value);
  };
  return rule;
}

template <class Field>
KeyRule text_list(Description d, Field field) {
  return {shown(d, "list of text", "[]"),
          [field](Target target, const toml::node& node) -> Problem {
            const toml::array* list = node.as_array();
            if (list == nullptr) {
              return "must be a list such as [\"a\", \"b\"]";
            }
            std::vector<std::string> values;
            for (const toml::node& item : *list) {
              const auto value = item.value_exact<std::string>();
              if (!value) {
                return "must hold only text in quotes";
              }
              values.push_back(*value);
            }
            field(target) = std::move(values);
            return std::nullopt;
          },
          [field](Target target, const std::string& value) -> Problem {
            field(target).clear();
            for (std::size_t begin = 0; begin <= value.size();) {
              const std::size_t end = std::min(value.find(',', begin), value.size());
              if (end > begin) {
                field(target).push_back(value.substr(begin, end - begin));
              }
              begin = end + 1;
            }
            return std::nullopt;
          }};
}

}  // namespace deepmoat::config_internal
