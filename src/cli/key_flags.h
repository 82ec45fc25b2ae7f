// The flags of `deepmoat key create` and `key change` that say what a key is bound to.
#pragma once

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/key_desk.h"

namespace deepmoat::cli {

struct KeyFlags {
  std::optional<std::string> label;
  std::vector<std::string> models;
  std::optional<std::string> adapter;
  bool adapter_only = false;
  bool any_adapter = false;
  std::vector<std::string> ip_ranges;
  std::optional<std::string> data_class;
  std::vector<std::string> scopes;
  std::optional<std::int64_t> requests_per_minute;
  std::optional<std::int64_t> tokens_per_minute;
  std::optional<std::int64_t> concurrent_calls;
  std::vector<std::string> label_pairs;
};

// `changes`: help for a key that has values already; an empty value then takes one away.
void add_key_flags(CLI::App& command, KeyFlags& flags, bool changes);

// The flags that were given, as the fields of the admin interface.
[[nodiscard]] Result<Json> fields_of(const KeyFlags& flags);

}  // namespace deepmoat::cli
