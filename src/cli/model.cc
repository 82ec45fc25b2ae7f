// `deepmoat model import|list|show|pin|unpin|remove`
#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>

#include "base/printable.h"
#include "cli/command.h"
#include "cli/model_desk.h"
#include "cli/model_import.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string name;
  std::string version;
  std::string candidates;
  bool json = false;
  ImportOptions import;
};

std::string date_of(const Json& entry) {
  const std::time_t time = entry.value("created_at", std::int64_t{0});
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts);
  return text;
}

std::string speed_of(const Json& entry, const char* field) {
  const Json& measured = entry.at("measurements");
  return measured.contains(field) ? fmt::format("{:.1f}", measured[field].get<double>()) : "-";
}

void print_table(const Json& entries) {
  fmt::print("{:<24} {:<20} {:<8} {:<8} {:>9} {:>8} {:>8}  {:<16} {}\n", "NAME", "VERSION", "KIND",
             "WEIGHTS", "MB", "IN/S", "OUT/S", "IMPORTED (UTC)", "PINNED");
  for (const Json& entry : entries) {
    fmt::print("{:<24} {:<20} {:<8} {:<8} {:>9.1f} {:>8} {:>8}  {:<16} {}\n",
               text_of(entry, "name"), text_of(entry, "version"), text_of(entry, "kind"),
               text_of(entry, "quantisation"), entry.at("bytes").get<double>() / 1e6,
               speed_of(entry, "prompt_tokens_s"), speed_of(entry, "output_tokens_s"),
               date_of(entry), entry.value("pinned", false) ? "pinned" : "");
  }
}

Result<> list(ModelDesk& desk, const Options& options) {
  TRY(const Json entries, desk.list());
  if (options.json) {
    fmt::print("{}\n", entries.dump(2));
  } else {
    print_table(entries);
  }
  return {};
}

Result<> show(ModelDesk& desk, const Options& options) {
  TRY(const Json entries, desk.list());
  TRY(const Json entry, choose_entry(entries, options.name, options.version));
  if (options.json) {
    fmt::print("{}\n", entry.dump(2));
    return {};
  }
  for (const auto& [field, value] : entry.items()) {
    fmt::print("{:<14} {}\n", field,
               field == "created_at"
                   ? date_of(entry) + " UTC"
                   : printable(value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return {};
}

Result<> pin(ModelDesk& desk, const Options& options) {
  TRY(const Json entry, desk.pin(options.name, options.version));
  fmt::print("{} means {} from now on.\n", options.name, text_of(entry, "version"));
  return {};
}

Result<> unpin(ModelDesk& desk, const Options& options) {
  TRY(const Json answer, desk.unpin(options.name));
  (void)answer;
  fmt::print("{} means its newest version again.\n", options.name);
  return {};
}

Result<> remove(ModelDesk& desk, const Options& options) {
  TRY(const Json entry, desk.remove(options.name, options.version));
  fmt::print("{} {} is removed.\n", options.name, text_of(entry, "version"));
  return {};
}

using Action = std::function<Result<>(ModelDesk&, const Options&)>;

int run(const Options& options, const Action& action) {
  const auto config = load_config_or_report(options.config);
  if (!config) {
    return kUsage;
  }
  const SystemClock clock;
  auto desk = ModelDesk::open(DataFolder(options.data), *config, clock, false);
  if (!desk) {
    return report(desk.error());
  }
  const auto done = action(**desk, options);
  return done ? kSuccess : report(done.error());
}

int run_import(Options& options) {
  const auto config = load_config_or_report(options.config);
  if (!config) {
    return kUsage;
  }
  options.import.json = options.json;
  const SystemClock clock;
  const auto entry = import_model(options.import, DataFolder(options.data), *config, clock);
  if (!entry) {
    return report(entry.error());
  }
  if (options.json) {
    fmt::print("{}\n", entry->dump(2));
  } else if (entry->value("already_there", false)) {
    fmt::print("{} {} is there already, from the same source.\n", text_of(*entry, "name"),
               text_of(*entry, "version"));
  } else {
    fmt::print("{} {} ({}, {:.1f} MB) is imported.\n", text_of(*entry, "name"),
               text_of(*entry, "version"), text_of(*entry, "quantisation"),
               entry->at("bytes").get<double>() / 1e6);
  }
  return kSuccess;
}

void add_import(CLI::App& model, const std::shared_ptr<Options>& options, int& status) {
  CLI::App* command = model.add_subcommand(
      "import", "Check a model, store it in the layout that is fastest here, and remember all");
  ImportOptions& import = options->import;
  command->add_option("--data", options->data, "The data folder")->capture_default_str();
  command->add_option("--config", options->config, "The configuration file");
  command
      ->add_option("SOURCE", import.source,
                   "A GGUF file, the first of several parts, or a folder of safetensors")
      ->required();
  command->add_option("--name", import.name, "What callers name it; default: from the source");
  command
      ->add_option("--quantize", import.quantise,
                   "auto: measure and keep the fastest within the quality limit; none: as it is; "
                   "or a type such as Q4_0, Q8_0, Q4_K_M")
      ->capture_default_str();
  command->add_option("--candidates", import.candidates, "Types that auto tries beside the source")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--quality-limit", import.quality_limit_percent,
                   "How much worse the perplexity may be than the source's, in percent")
      ->check(CLI::Range(0.0, 1000.0))
      ->capture_default_str();
  command->add_flag("--allow-requantize", import.allow_requantise,
                    "Quantise a source that is quantised already");
  CLI::Option* adapter = command->add_flag("--adapter", import.adapter, "A LoRA adapter");
  CLI::Option* base =
      command->add_option("--base", import.base, "The imported model that the adapter fits");
  adapter->needs(base);
  base->needs(adapter);
  command->add_option("--text", import.text, "Measure with this text instead of the built-in one")
      ->check(CLI::ExistingFile);
  command->add_option("--threads", import.threads, "Computing threads; 0: one a core");
  command->add_option("--rounds", import.rounds, "Rounds of each measurement; the best counts")
      ->check(CLI::Range(1, 20))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options, &status] { status = run_import(*options); });
}

}  // namespace

CLI::App* add_model(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* model = app.add_subcommand("model", "Import, list, pin and remove models");
  model->require_subcommand(1);
  add_import(*model, options, status);
  const auto add = [&](const char* name, const char* help, Action action) {
    return add_with_data(
        *model, name, help, options, status,
        [action = std::move(action)](const Options& given) { return run(given, action); });
  };
  const auto add_named = [&](const char* name, const char* help, Action action) {
    CLI::App* command = add(name, help, std::move(action));
    command->add_option("NAME", options->name, "The model's name")->required();
    return command;
  };
  constexpr const char* kVersionHelp =
      "A number, 2-0123456789abcdef, or 8 digits or more of the SHA-256";
  add("list", "List all versions", list)->add_flag("--json", options->json, "Print JSON");
  CLI::App* shown = add_named("show", "Show one version: by default the one that NAME means", show);
  shown->add_option("VERSION", options->version, kVersionHelp);
  shown->add_flag("--json", options->json, "Print JSON");
  add_named("pin", "Let NAME mean this version, also when newer ones are imported", pin)
      ->add_option("VERSION", options->version, kVersionHelp)
      ->required();
  add_named("unpin", "Let NAME mean its newest version", unpin);
  add_named("remove", "Remove a version and its file", remove)
      ->add_option("VERSION", options->version, kVersionHelp)
      ->required();
  return model;
}

}  // namespace deepmoat::cli
