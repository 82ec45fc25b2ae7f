// The table of configuration keys, for config.cc alone: what config.h shows, plus how to set each.
#pragma once

#include <toml++/toml.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"

namespace deepmoat::config_internal {

// Where a value goes: the whole configuration, and the model or tenant being read when the section
// is "model" or "tenant".
struct Target {
  Config& config;
  ModelConfig* model = nullptr;
  TenantConfig* tenant = nullptr;
};

struct KeyRule {
  ConfigKey shown;
  // Sets the field from a TOML node; an error message for a person, or nothing.
  std::function<std::optional<std::string>(Target, const toml::node&)> set;
  // The same from text of the environment; not used for keys of a [[list]].
  std::function<std::optional<std::string>(Target, const std::string&)> set_text;
};

// Those of [[model]] and of [[tenant]].
void add_model_rules(std::vector<KeyRule>& rules);
void add_tenant_rules(std::vector<KeyRule>& rules);

[[nodiscard]] const std::vector<KeyRule>& key_rules();

}  // namespace deepmoat::config_internal
