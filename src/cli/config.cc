// `deepmoat config check|example|markdown`
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "cli/audit_config.h"
#include "cli/command.h"
#include "cli/root_keys.h"
#include "gateway/server.h"

namespace deepmoat::cli {

namespace {

// What a key's own rule does not know: the files that the configuration names, and [audit].
int check_more(const Config& config, const std::string& file) {
  int problems = 0;
  const auto problem = [&](const std::string& text) {
    fmt::print(stderr, "deepmoat: {}: {}\n", file, text);
    ++problems;
  };
  for (const ModelConfig& model : config.models) {
    std::error_code error;
    if (!model.path.empty() && !std::filesystem::is_regular_file(model.path, error)) {
      problem(fmt::format("model.path \"{}\" is not a file", model.path));
    }
  }
  if (!config.tls.certificate.empty()) {
    const auto loads = gateway::check_certificate(config.tls.certificate, config.tls.private_key);
    if (!loads) {
      problem(loads.error().message);
    }
  }
  std::error_code error;
  if (!config.keys.passphrase_file.empty() &&
      !std::filesystem::exists(config.keys.passphrase_file, error)) {
    problem(fmt::format("keys.passphrase_file \"{}\" does not exist", config.keys.passphrase_file));
  }
  if (config.custody.kind == "pkcs11") {
    if (!std::filesystem::is_regular_file(config.custody.module, error)) {
      problem(fmt::format("custody.module \"{}\" is not a file", config.custody.module));
    }
    if (const auto pin = read_pin(config); !pin) {
      problem(pin.error().message);
    }
  }
  for (const auto& texts : {audit_problems(config), audit_file_problems(config)}) {
    std::ranges::for_each(texts, problem);
  }
  return problems;
}

int check(const std::string& file) {
  const auto config = load_config_or_report(file);
  if (!config || check_more(*config, file) > 0) {
    return kUsage;
  }
  fmt::print("{}: no problem found\n", file);
  return kSuccess;
}

}  // namespace

void add_config(CLI::App& app, int& status) {
  CLI::App* command = app.add_subcommand("config", "Check or print the configuration");
  command->require_subcommand(1);

  const auto file = std::make_shared<std::string>();
  CLI::App* check_command =
      command->add_subcommand("check", "Name every problem of a file, with line, key and fix");
  check_command->add_option("FILE", *file, "The configuration file")->required();
  check_command->callback([file, &status] { status = check(*file); });

  CLI::App* example =
      command->add_subcommand("example", "Print a file with every key at its default");
  example->callback([&status] {
    fmt::print("{}", config_example());
    status = kSuccess;
  });

  CLI::App* markdown = command->add_subcommand("markdown", "Print docs/configuration.md");
  markdown->callback([&status] {
    fmt::print("{}", config_markdown());
    status = kSuccess;
  });
}

}  // namespace deepmoat::cli
