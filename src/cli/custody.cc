// `deepmoat custody status|rewrap|roll`
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>

#include "base/hex.h"
#include "base/printable.h"
#include "base/random.h"
#include "cli/command.h"
#include "cli/installation.h"
#include "cli/local_client.h"
#include "cli/root_keys.h"
#include "cli/two_persons.h"
#include "gateway/custody_admin.h"

namespace deepmoat::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string new_passphrase_file;
  bool no_passphrase = false;
  bool json = false;
};

// The intent, the action, its result; without a record there is no action.
Result<> audited(Installation& installation, const char* action,
                 const std::function<Result<>()>& body) {
  TRY(const std::string id, random_bytes(16));
  audit::Record record;
  record.phase = audit::Phase::intent;
  record.operation = audit::Operation::write;
  record.request_id = to_hex(id);
  record.tenant = identity::kHomeTenant;
  record.operator_id = fmt::format("local:{}", ::getuid());
  record.role = "admin";
  record.authentication = "command_line";
  record.ip_address = "local";
  record.action = action;
  TRY(record.intent_sequence, installation.audit_log().append_and_wait(record));
  const Result<> done = body();
  record.phase = audit::Phase::result;
  record.outcome = done ? audit::Outcome::success : audit::Outcome::failed;
  record.reason = done ? "" : code_name(done.error().code);
  TRY(const std::uint64_t written, installation.audit_log().append_and_wait(std::move(record)));
  (void)written;
  return done;
}

Result<std::unique_ptr<Installation>> open_existing(const DataFolder& folder, const Config& config,
                                                    const Clock& clock) {
  std::error_code error;
  if (!std::filesystem::exists(folder.database(), error)) {
    return fail(Code::not_found,
                "there is no data folder at " + folder.root().string() + "; name it with --data");
  }
  return Installation::open(folder, config, clock);
}

std::string format_date(std::int64_t unix_s) {
  const std::time_t time = unix_s;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts);
  return text;
}

void print_fields(const Json& fields, const std::string& before) {
  for (const auto& [name, value] : fields.items()) {
    if (value.is_object()) {
      print_fields(value, name + ".");
      continue;
    }
    const bool time = name.ends_with("_at") || name.ends_with("_since");
    fmt::print("{:<32} {}\n", before + name,
               time                ? format_date(value.get<std::int64_t>())
               : value.is_string() ? printable(value.get<std::string>())
                                   : value.dump());
  }
}

// From the server if one holds the folder, else by looking ourselves.
Result<Json> ask_status(const DataFolder& folder, const Config& config, const Clock& clock) {
  const auto installation = open_existing(folder, config, clock);
  if (!installation && installation.error().code == Code::already_exists) {
    return ask_server(folder, "GET", "/admin/v1/custody", "");
  }
  if (!installation) {
    return std::unexpected(installation.error());
  }
  Installation& opened = **installation;
  opened.custody_watch().check_now();
  return gateway::custody_json(opened.root_keys().describe(), opened.custody_watch().health(),
                               opened.envelope().status());
}

Result<> status(const Options& options, const Config& config, const Clock& clock) {
  TRY(const Json shown, ask_status(DataFolder(options.data), config, clock));
  if (options.json) {
    fmt::print("{}\n", shown.dump(2));
  } else {
    print_fields(shown, "");
  }
  return {};
}

Result<Json> ask_roll(const DataFolder& folder, const Config& config, const Clock& clock) {
  const auto installation = open_existing(folder, config, clock);
  if (!installation && installation.error().code == Code::already_exists) {
    return ask_server(folder, "POST", "/admin/v1/custody/roll", "");
  }
  if (!installation) {
    return std::unexpected(installation.error());
  }
  CHECK_OK(check_one_person_may(config, "custody.roll"));
  Json report;
  CHECK_OK(audited(**installation, "custody.roll", [&]() -> Result<> {
    TRY(const crypto::RollReport rolled, (*installation)->envelope().roll());
    report = gateway::roll_json(rolled);
    return {};
  }));
  return report;
}

Result<> roll(const Options& options, const Config& config, const Clock& clock) {
  TRY(const Json report, ask_roll(DataFolder(options.data), config, clock));
  print_fields(report, "");
  if (!report.value("old_destroyed", false)) {
    fmt::print(stderr,
               "The old generation is not destroyed yet: its root key could not be reached. The "
               "server does it once it can; `deepmoat custody status` shows it.\n");
  }
  return {};
}

Result<> rewrap(const Options& options, const Config& config, const Clock& clock) {
  if (config.custody.kind != "file") {
    return fail(Code::invalid_argument,
                "only a key file is wrapped anew; in a token, `deepmoat custody roll` makes new "
                "keys");
  }
  const DataFolder folder(options.data);
  TRY(const Secret old_passphrase, read_passphrase(config));
  Secret new_passphrase = Secret::copy_of(old_passphrase.reveal());
  if (options.no_passphrase) {
    new_passphrase = Secret();
  } else if (!options.new_passphrase_file.empty()) {
    TRY(new_passphrase, read_passphrase_file(options.new_passphrase_file, "--new-passphrase-file"));
  }
  auto installation = open_existing(folder, config, clock);
  if (!installation && installation.error().code == Code::already_exists) {
    return fail(Code::already_exists,
                "a server runs on this data folder: stop it first, since it has to start with the "
                "new passphrase anyway");
  }
  TRY(const std::unique_ptr<Installation> opened, std::move(installation));
  CHECK_OK(audited(*opened, "custody.rewrap", [&] {
    return crypto::rewrap_key_file(folder.key_file(), old_passphrase, new_passphrase);
  }));
  TRY(const std::string protection, crypto::key_file_protection(folder.key_file()));
  fmt::print("{}: {}\n", folder.key_file().string(), protection);
  return {};
}

using Action = std::function<Result<>(const Options&, const Config&, const Clock&)>;

int run(const Options& options, const Action& action) {
  const auto config = load_config_or_report(options.config);
  if (!config) {
    return kUsage;
  }
  const SystemClock clock;
  const Result<> done = action(options, *config, clock);
  return done ? kSuccess : report(done.error());
}

}  // namespace

void add_custody(CLI::App& app, int& status_code) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("custody", "Show the root keys, seal them anew, roll to new ones");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Action action) {
    return add_with_data(
        *command, name, help, options, status_code,
        [action = std::move(action)](const Options& given) { return run(given, action); });
  };
  CLI::App* status_command =
      add("status", "Say where the root keys are, how they are protected and whether they answer",
          status);
  status_command->add_flag("--json", options->json, "Print JSON");
  CLI::App* rewrap_command =
      add("rewrap", "Seal the key file anew: another passphrase, today's function", rewrap);
  CLI::Option* file =
      rewrap_command->add_option("--new-passphrase-file", options->new_passphrase_file,
                                 "File with the new passphrase; default: the passphrase stays");
  rewrap_command
      ->add_flag("--no-passphrase", options->no_passphrase,
                 "Seal it without a passphrase: then only the file's rights protect it")
      ->excludes(file);
  add("roll", "Make a new generation of the keys of encrypted fields and destroy the old one",
      roll);
}

}  // namespace deepmoat::cli
