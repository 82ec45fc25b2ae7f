// `deepmoat client-certificate issue|list|revoke`
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <memory>

#include "base/file.h"
#include "cli/admin_desk.h"
#include "cli/command.h"
#include "cli/local_client.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string client_id;
  std::string tenant = "default";
  std::string out = ".";
  std::string fingerprint;
  std::int64_t days = 365;
  bool json = false;
};

constexpr const char* kPath = "/admin/v1/client-certificates";

std::string text_of(const Json& json, const char* field) {
  return json.value(field, std::string());
}

Result<> issue(AdminDesk& desk, const Options& options) {
  TRY(const Json issued, desk.ask("POST", kPath,
                                  Json{{"client_id", options.client_id},
                                       {"tenant", options.tenant},
                                       {"days", options.days}}));
  const std::filesystem::path folder(options.out);
  // The service has checked the name, so it is one.
  const std::filesystem::path certificate = folder / (options.client_id + ".crt");
  const std::filesystem::path key = folder / (options.client_id + ".key");
  CHECK_OK(write_file_atomic(key, text_of(issued, "private_key"), 0600));
  CHECK_OK(write_file_atomic(certificate, text_of(issued, "certificate"), 0644));
  fmt::print("{}\n{}\n", certificate.string(), key.string());
  fmt::print(stderr, "Certificate {} of {}. Its private key is nowhere but in this file.\n",
             text_of(issued, "fingerprint"), options.client_id);
  return {};
}

Result<> list(AdminDesk& desk, const Options& options) {
  TRY(const Json answer, desk.ask("GET", kPath, nullptr));
  const Json& rows = answer.at("data");
  if (options.json) {
    fmt::print("{}\n", rows.dump(2));
    return {};
  }
  fmt::print("{:<8} {:<12} {:<20} {}\n", "STATE", "TENANT", "CLIENT", "FINGERPRINT");
  for (const Json& row : rows) {
    fmt::print("{:<8} {:<12} {:<20} {}\n", text_of(row, "state"), text_of(row, "tenant"),
               text_of(row, "client_id"), text_of(row, "fingerprint"));
  }
  return {};
}

Result<> revoke(AdminDesk& desk, const Options& options) {
  TRY([[maybe_unused]] const Json done,
      desk.ask("POST", admin_path({"client-certificates", options.fingerprint, "revoke"}), Json::object()));
  fmt::print("{} is revoked.\n", options.fingerprint);
  return {};
}

using Action = std::function<Result<>(AdminDesk&, const Options&)>;

int run(const Options& options, const Action& action) {
  return run_at_admin_desk(options.data, options.config,
                           [&](AdminDesk& desk) { return action(desk, options); });
}

}  // namespace

void add_client_certificate(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "client-certificate",
      "TLS certificates of integrations, with which they fetch a leaked key's successor");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, const Action& action) {
    CLI::App* added = command->add_subcommand(name, help);
    added->add_option("--data", options->data, "The data folder")->capture_default_str();
    added->add_option("--config", options->config, "The configuration file");
    added->callback([options, action, &status] { status = run(*options, action); });
    return added;
  };
  CLI::App* issue_command = add("issue", "Make one: CLIENT.crt and CLIENT.key", issue);
  issue_command
      ->add_option("--client-id", options->client_id, "Whom it is for, as its keys have it")
      ->required();
  issue_command->add_option("--tenant", options->tenant, "The client's tenant")
      ->capture_default_str();
  issue_command->add_option("--days", options->days, "Until it ends; 825 at most")
      ->capture_default_str();
  issue_command->add_option("--out", options->out, "The folder for the two files")
      ->capture_default_str();
  add("list", "List them", list)->add_flag("--json", options->json, "Print JSON");
  add("revoke", "Give nothing out for it from now on", revoke)
      ->add_option("FINGERPRINT", options->fingerprint, "As `list` shows it")
      ->required();
}

}  // namespace deepmoat::cli
