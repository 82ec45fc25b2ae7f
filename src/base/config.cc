#include "base/config.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cctype>
#include <tuple>

#include "base/adapter_file.h"
#include "base/config_keys.h"
#include "base/file.h"
#include "base/limits.h"

namespace deepmoat {

using config_internal::key_rules;
using config_internal::KeyRule;
using config_internal::Target;

namespace {

// Collects findings of one file.
struct Reader {
  ConfigLoad& load;
  const std::string& file;

  void report(std::uint32_t line, std::string key, std::string message) const {
    load.problems.push_back({file, line, std::move(key), std::move(message)});
  }
};

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// "unknown key; did you mean https_port?"
std::string unknown_key(std::string_view section, std::string_view name) {
  const KeyRule* nearest = nullptr;
  std::size_t nearest_distance = 4;  // further away is no typing error
  for (const KeyRule& rule : key_rules()) {
    if (rule.shown.section != section) {
      continue;
    }
    const std::size_t distance = edit_distance(rule.shown.name, name);
    if (distance < nearest_distance) {
      nearest = &rule;
      nearest_distance = distance;
    }
  }
  if (nearest != nullptr) {
    return fmt::format("is not a key; did you mean {}.{}?", section, nearest->shown.name);
  }
  return fmt::format("is not a key of [{}]; `deepmoat config example` lists them all", section);
}

void read_table(const Reader& reader, const std::string& section, const toml::table& table,
                Target target) {
  for (const auto& [name, node] : table) {
    const auto line = static_cast<std::uint32_t>(node.source().begin.line);
    const std::string key = fmt::format("{}.{}", section, name.str());
    const auto rule = std::ranges::find_if(key_rules(), [&](const KeyRule& r) {
      return r.shown.section == section && r.shown.name == name.str();
    });
    if (rule == key_rules().end()) {
      reader.report(line, key, unknown_key(section, name.str()));
    } else if (const auto problem = rule->set(target, node)) {
      reader.report(line, key, *problem);
    }
  }
}

// Each [[section]] of the document; `add` takes one in.
template <class Add>
void read_list(const Reader& reader, const std::string& section, const toml::node& node, Add add) {
  const toml::array* list = node.as_array();
  if (list == nullptr || !list->is_array_of_tables()) {
    reader.report(static_cast<std::uint32_t>(node.source().begin.line), section,
                  fmt::format("must be written as [[{}]], with two brackets", section));
    return;
  }
  for (const toml::node& item : *list) {
    add(*item.as_table(), static_cast<std::uint32_t>(item.source().begin.line));
  }
}

template <class Item>
void report_when_taken(const Reader& reader, const std::vector<Item>& items,
                       const std::string& section, const std::string& name, std::uint32_t line) {
  if (std::ranges::any_of(items, [&](const Item& other) { return other.name == name; })) {
    reader.report(line, section + ".name",
                  fmt::format("\"{}\" is used twice; give each {} its own name", name, section));
  }
}

void check_adapters(const Reader& reader, const ModelConfig& model, std::uint32_t line) {
  for (const std::string& adapter : model.adapters) {
    if (adapter.empty() || (adapter.contains('=') && !parse_adapter(adapter))) {
      reader.report(line, "model.adapters",
                    fmt::format("has \"{}\"; write \"NAME=FILE\", \"NAME=FILE:SCALE\" or the name "
                                "of an imported adapter",
                                adapter));
    }
  }
}

void read_models(const Reader& reader, const toml::node& node) {
  read_list(reader, "model", node, [&](const toml::table& table, std::uint32_t line) {
    ModelConfig model;
    read_table(reader, "model", table, Target{reader.load.config, &model});
    if (model.name.empty()) {
      model.name = std::filesystem::path(model.path).stem().string();
    }
    if (model.name.empty()) {
      reader.report(line, "model.path",
                    "is missing: name the model's GGUF file, or set model.name to an imported one");
    }
    check_adapters(reader, model, line);
    report_when_taken(reader, reader.load.config.models, "model", model.name, line);
    reader.load.config.models.push_back(std::move(model));
  });
}

void read_tenants(const Reader& reader, const toml::node& node) {
  read_list(reader, "tenant", node, [&](const toml::table& table, std::uint32_t line) {
    TenantConfig tenant;
    read_table(reader, "tenant", table, Target{reader.load.config, nullptr, &tenant});
    if (tenant.name.empty()) {
      reader.report(line, "tenant.name", "is missing: name the tenant as its keys do");
    }
    report_when_taken(reader, reader.load.config.tenants, "tenant", tenant.name, line);
    reader.load.config.tenants.push_back(std::move(tenant));
  });
}

// "server, tls, ..., model"
std::string section_names() {
  std::string names;
  std::string last;
  for (const KeyRule& rule : key_rules()) {
    if (rule.shown.section != last) {
      last = rule.shown.section;
      names += (names.empty() ? "" : ", ") + last;
    }
  }
  return names;
}

void read_document(const Reader& reader, const toml::table& document) {
  for (const auto& [section, node] : document) {
    const std::string name(section.str());
    const auto line = static_cast<std::uint32_t>(node.source().begin.line);
    if (name == "model") {
      read_models(reader, node);
      continue;
    }
    if (name == "tenant") {
      read_tenants(reader, node);
      continue;
    }
    const bool known = std::ranges::any_of(
        key_rules(), [&](const KeyRule& rule) { return rule.shown.section == name; });
    if (!known) {
      reader.report(line, name, "is not a section; sections are " + section_names());
    } else if (!node.is_table()) {
      reader.report(line, name, "must be a section, written [" + name + "]");
    } else {
      read_table(reader, name, *node.as_table(), Target{reader.load.config});
    }
  }
}

std::string environment_name(const ConfigKey& key) {
  std::string name = "DEEPMOAT_" + key.section + "_" + key.name;
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

void read_environment(ConfigLoad& load, const EnvironmentLookup& environment) {
  for (const KeyRule& rule : key_rules()) {
    if (rule.shown.repeated) {
      continue;
    }
    const std::string name = environment_name(rule.shown);
    const std::optional<std::string> value = environment(name);
    if (!value) {
      continue;
    }
    if (const auto problem = rule.set_text(Target{load.config}, *value)) {
      load.problems.push_back({"environment", 0, name, *problem});
    }
  }
}

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

// What no single key can tell.
void check_together(ConfigLoad& load, const std::string& file) {
  const Config& config = load.config;
  const auto report = [&](const char* key, std::string message) {
    load.problems.push_back({file, 0, key, std::move(message)});
  };
  if (config.server.http_port != 0 && !is_loopback(config.server.http_address) &&
      !config.server.insecure_http_beyond_loopback) {
    report("server.http_address",
           "is not loopback, and plain HTTP would carry keys and prompts unencrypted; use HTTPS, "
           "or set "
           "server.insecure_http_beyond_loopback = true if you accept that");
  }
  if (config.server.http_port != 0 && config.server.http_port == config.server.https_port) {
    report("server.http_port", "equals server.https_port; choose another");
  }
  if (config.tls.certificate.empty() != config.tls.private_key.empty()) {
    report("tls.certificate", "and tls.private_key belong together: set both or neither");
  }
  if (config.custody.kind == "sdf") {
    report("custody.kind",
           "is \"sdf\", which is not built into this program: a back end over the card's own "
           "library has to be added first (docs/custody.md); use \"pkcs11\" or \"file\"");
  }
  if (config.custody.kind == "pkcs11" && config.custody.module.empty()) {
    report("custody.module", "is missing: name the token's PKCS#11 library");
  }
  if (config.custody.kind == "pkcs11" && config.custody.token_label.empty()) {
    report("custody.token_label", "is missing: name the token");
  }
  if (config.custody.key_label.empty()) {
    report("custody.key_label", "is empty; the keys in the token need a name");
  }
}

}  // namespace

std::string ConfigProblem::text() const {
  const std::string where = line > 0 ? fmt::format("{}:{}", file, line) : file;
  return fmt::format("{}: {} {}", where, key, message);
}

TenantConfig Config::tenant(const std::string& name) const {
  const auto found = std::ranges::find(tenants, name, &TenantConfig::name);
  TenantConfig tenant = found == tenants.end() ? TenantConfig{.name = name} : *found;
  tenant.queue_max = tenant.queue_max > 0 ? tenant.queue_max : limits.queue_per_tenant;
  tenant.wait_s_max = tenant.wait_s_max > 0 ? tenant.wait_s_max : limits.wait_s_max;
  return tenant;
}

EnvironmentLookup process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = ::getenv(name.c_str());
    return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
  };
}

ConfigLoad parse_config(std::string_view text, const std::string& file,
                        const EnvironmentLookup& environment) {
  ConfigLoad load;
  const Reader reader{load, file};
  try {
    read_document(reader, toml::parse(text, file));
  } catch (const toml::parse_error& error) {
    reader.report(static_cast<std::uint32_t>(error.source().begin.line),
                  "syntax:", std::string(error.description()));
  }
  read_environment(load, environment);
  check_together(load, file);
  std::ranges::sort(load.problems, {}, [](const ConfigProblem& problem) {
    return std::tie(problem.line, problem.key);
  });
  return load;
}

ConfigLoad load_config(const std::filesystem::path& path, const EnvironmentLookup& environment) {
  if (path.empty()) {
    return parse_config("", "defaults", environment);
  }
  const auto text = read_file(path, limits::kConfigBytesMax);
  if (!text) {
    ConfigLoad load;
    load.problems.push_back({path.string(), 0, "file:", text.error().message});
    return load;
  }
  return parse_config(*text, path.string(), environment);
}

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> made;
    for (const KeyRule& rule : key_rules()) {
      made.push_back(rule.shown);
    }
    return made;
  }();
  return keys;
}

std::string config_example() {
  std::string text = "# Deepmoat. Every key with its default; remove what you do not change.\n";
  std::string section;
  for (const ConfigKey& key : config_keys()) {
    if (key.section != section) {
      section = key.section;
      text += key.repeated ? fmt::format("\n# One block a {0}.\n# [[{0}]]\n", section)
                           : fmt::format("\n[{}]\n", section);
    }
    text +=
        fmt::format("# {}{}{}\n", key.meaning, key.bounds.empty() ? "" : " (" + key.bounds + ")",
                    key.reloadable ? " Reloaded on SIGHUP." : "");
    text += fmt::format("{}{} = {}\n", key.repeated ? "# " : "", key.name, key.fallback);
  }
  return text;
}

std::string config_markdown() {
  std::string text =
      "# Configuration\n\n"
      "One TOML file, given with `deepmoat serve --config FILE`. An environment variable named in "
      "the table\n"
      "goes over the file, a flag of the command line over both. `deepmoat config check FILE` "
      "names every\n"
      "problem with file, line, key and fix; `deepmoat config example` prints a file with all "
      "keys.\n"
      "Keys marked *reload* are applied by SIGHUP without dropping a stream; the others need a "
      "restart.\n\n"
      "This page is made by `deepmoat config markdown`; a test holds it to the program.\n";
  std::string section;
  for (const ConfigKey& key : config_keys()) {
    if (key.section != section) {
      section = key.section;
      text +=
          fmt::format("\n## {}\n\n| key | default | bounds | meaning |{}\n|---|---|---|---|{}\n",
                      key.repeated ? "[[" + section + "]]" : "[" + section + "]",
                      key.repeated ? "" : " environment |", key.repeated ? "" : "---|");
    }
    text += fmt::format("| `{}` | `{}` | {} | {}{} |{}\n", key.name, key.fallback, key.bounds,
                        key.meaning, key.reloadable ? " *reload*" : "",
                        key.repeated ? "" : fmt::format(" `{}` |", environment_name(key)));
  }
  return text;
}

}  // namespace deepmoat
