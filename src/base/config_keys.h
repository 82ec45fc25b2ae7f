// The table of configuration keys, for config.cc alone: what config.h shows, plus how to set each.
#pragma once

#include <toml++/toml.h>

#include <functional>
#include <string>
#include <vector>

#include "base/config.h"

namespace deepmoat::config_internal {

// Where a value goes: the whole configuration, and the model being read when the section is
// "model".
struct Target {
  Config& config;
  ModelConfig* model = nullptr;
};

struct KeyRule {
  ConfigKey shown;
  // Sets the field from a TOML node; an error message for a person, or nothing.
  std::function<std::optional<std::string>(Target, const toml::node&)> set;
  // The same from text of the environment; absent for keys of [[model]].
  std::function<std::optional<std::string>(Target, const std::string&)> set_text;
};

[[nodiscard]] const std::vector<KeyRule>& key_rules();

}  // namespace deepmoat::config_internal
