// `deepmoat totp enrol|confirm|status|remove`: second factors of clients.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <memory>

#include "base/printable.h"
#include "cli/command.h"
#include "cli/key_desk.h"
#include "cli/prompt.h"
#include "cli/qr_code.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string client_id;
  std::string tenant = "default";
  std::string algorithm = "totp-sha1";
  std::string code;
  bool json = false;
  bool qr = false;
};

Result<std::string> code_of(const Options& options) {
  if (!options.code.empty()) {
    return options.code;
  }
  TRY(const Secret code, ask("One-time password from the device", "--code", Echo::on));
  return std::string(code.reveal());
}

Result<> confirm_with(KeyDesk& desk, const Options& options, const std::string& code) {
  TRY(const Json confirmed, desk.confirm_factor({{"client_id", options.client_id},
                                                 {"tenant", options.tenant},
                                                 {"one_time_password", code}}));
  if (options.json) {
    fmt::print("{}\n", confirmed.dump(2));
    return {};
  }
  // Standard output holds the codes alone, one a line.
  for (const Json& recovery : confirmed.at("recovery_codes")) {
    fmt::print("{}\n", recovery.get<std::string>());
  }
  fmt::print(stderr,
             "The second factor of {} counts from now on. The lines above are recovery codes: each "
             "takes the place of a one-time password once. They are shown only now; keep them "
             "where the device is not.\n",
             options.client_id);
  return {};
}

Result<> enrol(KeyDesk& desk, const Options& options) {
  TRY(const Json enrolled, desk.enrol_factor({{"client_id", options.client_id},
                                              {"tenant", options.tenant},
                                              {"algorithm", options.algorithm}}));
  if (options.json) {
    fmt::print("{}\n", enrolled.dump(2));
    return {};
  }
  if (options.qr || ::isatty(STDOUT_FILENO) == 1) {
    TRY(const std::string picture, qr_code(text_of(enrolled, "uri")));
    fmt::print("{}", picture);
  }
  fmt::print("{}\n{}\n", text_of(enrolled, "secret"), text_of(enrolled, "uri"));
  fmt::print(stderr,
             "Scan the code, or type the secret, into an authenticator. It is shown only now, and "
             "counts once it is confirmed.\n");
  if (!can_ask()) {
    fmt::print(
        stderr,
        "Confirm it: deepmoat totp confirm --client-id {} --tenant {} --data {} --code ......\n",
        options.client_id, options.tenant, options.data);
    return {};
  }
  TRY(const std::string code, code_of(options));
  return confirm_with(desk, options, code);
}

Result<> confirm(KeyDesk& desk, const Options& options) {
  TRY(const std::string code, code_of(options));
  return confirm_with(desk, options, code);
}

Result<> show_status(KeyDesk& desk, const Options& options) {
  TRY(const Json factor, desk.factor_status(options.tenant, options.client_id));
  if (options.json) {
    fmt::print("{}\n", factor.dump(2));
    return {};
  }
  for (const auto& [name, value] : factor.items()) {
    fmt::print("{:<20} {}\n", name,
               name.ends_with("_at") || name == "locked_until"
                   ? format_date(value.get<std::int64_t>()) + " UTC"
               : value.is_string() ? printable(value.get<std::string>())
                                   : value.dump());
  }
  return {};
}

Result<> remove(KeyDesk& desk, const Options& options) {
  TRY(const Json removed,
      desk.remove_factor({{"client_id", options.client_id}, {"tenant", options.tenant}}));
  fmt::print("The second factor of {} is removed.\n", text_of(removed, "client_id"));
  return {};
}

using Action = std::function<Result<>(KeyDesk&, const Options&)>;

int run(const Options& options, const Action& action) {
  const auto config = load_config_or_report(options.config);
  if (!config) {
    return kUsage;
  }
  const SystemClock clock;
  auto desk = KeyDesk::open(DataFolder(options.data), *config, clock, false);
  if (!desk) {
    return report(desk.error());
  }
  const auto done = action(**desk, options);
  return done ? kSuccess : report(done.error());
}

}  // namespace

void add_totp(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "totp", "Second factors of clients: one-time passwords, and recovery codes beside them");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, const Action& action) {
    CLI::App* added = add_with_data(*command, name, help, options, status,
                                    [action](const Options& given) { return run(given, action); });
    added->add_option("--client-id", options->client_id, "Whose second factor")->required();
    added->add_option("--tenant", options->tenant, "The client's tenant")->capture_default_str();
    return added;
  };
  constexpr const char* kJson = "Print JSON";

  CLI::App* enrol_command =
      add("enrol", "Make a secret and show it once, on a terminal as a QR code too", enrol);
  enrol_command->add_option("--algorithm", options->algorithm, "totp-sha1, totp-sha256 or totp-sm3")
      ->capture_default_str();
  enrol_command->add_flag("--qr", options->qr, "Print the QR code also into a file or a pipe");
  enrol_command->add_flag("--json", options->json, kJson);

  CLI::App* confirm_command =
      add("confirm", "Let it count, with one of its passwords; prints the recovery codes", confirm);
  confirm_command->add_option("--code", options->code,
                              "The one-time password; asked for on a terminal");
  confirm_command->add_flag("--json", options->json, kJson);

  CLI::App* status_command = add("status", "Show its state", show_status);
  status_command->add_flag("--json", options->json, kJson);

  add("remove", "Remove it: for a lost device, when no recovery code is left", remove);
}

}  // namespace deepmoat::cli
