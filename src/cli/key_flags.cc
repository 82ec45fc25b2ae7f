#include "cli/key_flags.h"

#include <algorithm>

namespace deepmoat::cli {

namespace {

// One empty entry stands for an empty list: `--model ""` takes the models away.
Json list_of(const std::vector<std::string>& entries) {
  return entries.size() == 1 && entries.front().empty() ? Json::array() : Json(entries);
}

}  // namespace

void add_key_flags(CLI::App& command, KeyFlags& flags, bool changes) {
  const std::string all = changes ? "; repeat for more; replaces the old ones, \"\" takes them away"
                                  : "; repeat for more";
  const std::string one = changes ? "; \"\" takes it away" : "";
  const std::string zero = changes ? "; 0 takes it away" : "";
  command.add_option("--label", flags.label, "A note for people");
  command.add_option("--model", flags.models, "A model that the key may use; default: all" + all)
      ->allow_extra_args(false);
  command.add_option("--adapter", flags.adapter,
                     "LoRA adapter of calls that name none: NAME or NAME:SCALE" + one);
  CLI::Option* only = command.add_flag("--adapter-only", flags.adapter_only,
                                       "Calls may use no other adapter and no other scale");
  if (changes) {
    command.add_flag("--any-adapter", flags.any_adapter, "Takes --adapter-only away")
        ->excludes(only);
  }
  command
      .add_option("--ip", flags.ip_ranges,
                  "A network (CIDR) or address that the key may be used from; default: every" + all)
      ->allow_extra_args(false);
  command.add_option("--data-class", flags.data_class,
                     "Least class of its calls: public, internal, sensitive, restricted" + one);
  command
      .add_option("--scope", flags.scopes,
                  "A permission of the role that the key has; default: all of them" + all)
      ->allow_extra_args(false);
  command.add_option("--requests-per-minute", flags.requests_per_minute,
                     "Requests a minute, if the server's limit is not lower" + zero);
  command.add_option("--tokens-per-minute", flags.tokens_per_minute,
                     "Tokens a minute, if the server's limit is not lower" + zero);
  command.add_option("--concurrent-calls", flags.concurrent_calls,
                     "Calls at once, if the server's limit is not lower" + zero);
  command
      .add_option("--label-pair", flags.label_pairs,
                  "NAME=VALUE for people and billing, such as cost-centre=4711" + all)
      ->allow_extra_args(false);
}

Result<Json> fields_of(const KeyFlags& flags) {
  Json fields = Json::object();
  const auto set = [&](const char* name, const auto& value) {
    if (value) {
      fields[name] = *value;
    }
  };
  const auto set_list = [&](const char* name, const std::vector<std::string>& list) {
    if (!list.empty()) {
      fields[name] = list_of(list);
    }
  };
  set("label", flags.label);
  set_list("models", flags.models);
  set("adapter", flags.adapter);
  if (flags.adapter_only || flags.any_adapter) {
    fields["adapter_only"] = flags.adapter_only;
  }
  set_list("ip_ranges", flags.ip_ranges);
  set("data_class", flags.data_class);
  set_list("scopes", flags.scopes);
  Json limits = Json::object();
  const auto set_limit = [&](const char* name, const std::optional<std::int64_t>& value) {
    if (value) {
      limits[name] = *value;
    }
  };
  set_limit("requests_per_minute", flags.requests_per_minute);
  set_limit("tokens_per_minute", flags.tokens_per_minute);
  set_limit("concurrent_calls", flags.concurrent_calls);
  if (!limits.empty()) {
    fields["limits"] = std::move(limits);
  }
  const Json pairs = list_of(flags.label_pairs);
  if (!flags.label_pairs.empty()) {
    fields["labels"] = Json::object();
  }
  for (const Json& entry : pairs) {
    const std::string pair = entry.get<std::string>();
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos) {
      return fail(Code::invalid_argument,
                  "--label-pair \"" + pair + "\" is not of the form NAME=VALUE");
    }
    const std::string name = pair.substr(0, equals);
    if (fields["labels"].contains(name)) {
      return fail(Code::invalid_argument, "--label-pair: " + name + " is there twice");
    }
    fields["labels"][name] = pair.substr(equals + 1);
  }
  return fields;
}

}  // namespace deepmoat::cli
