// `deepmoat key create|list|show|change|rotate|successor|revoke|expire`; leak and scan have files
// of their own
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <memory>

#include "base/printable.h"
#include "cli/command.h"
#include "cli/key_desk.h"
#include "cli/key_flags.h"
#include "cli/prompt.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string client_id;
  std::string role = "user";
  std::string tenant = "default";
  KeyFlags flags;
  std::string expires_in;
  std::string key;
  std::string reason;
  std::string code;
  std::string in;
  std::int64_t at_s = 0;
  bool json = false;
};

void print_table(const Json& keys) {
  fmt::print("{:<29} {:<20} {:<12} {:<9} {:<8} {:<17} {}\n", "ID", "CLIENT", "TENANT", "ROLE",
             "STATE", "EXPIRES (UTC)", "LABEL");
  for (const Json& key : keys) {
    fmt::print("{:<29} {:<20} {:<12} {:<9} {:<8} {:<17} {}\n", text_of(key, "id"),
               text_of(key, "client_id"), text_of(key, "tenant"), text_of(key, "role"),
               text_of(key, "state"), format_date(key.value("expires_at", std::int64_t{0})),
               text_of(key, "label"));
  }
}

// A list or an object on one line: "demo, chat", "team=x".
std::string line_of(const Json& value) {
  std::string line;
  for (const auto& [name, entry] : value.items()) {
    line += line.empty() ? "" : ", ";
    line += value.is_object() ? name + "=" : "";
    line += entry.is_string() ? entry.get<std::string>() : entry.dump();
  }
  return line;
}

void print_fields(const Json& key) {
  for (const auto& [name, value] : key.items()) {
    const bool time = name.ends_with("_at") || name == "overlap_until";
    fmt::print("{:<14} {}\n", name,
               time                    ? format_date(value.get<std::int64_t>()) + " UTC"
               : value.is_string()     ? printable(value.get<std::string>())
               : value.is_structured() ? printable(line_of(value))
                                       : value.dump());
  }
}

Result<> create(KeyDesk& desk, const Options& options, std::int64_t lifetime_days) {
  std::int64_t lifetime_s = lifetime_days * 86'400;
  if (!options.expires_in.empty()) {
    TRY(lifetime_s, parse_duration_s(options.expires_in));
  }
  TRY(Json request, fields_of(options.flags));
  request["client_id"] = options.client_id;
  request["role"] = options.role;
  request["tenant"] = options.tenant;
  request["lifetime_s"] = lifetime_s;
  TRY(const Json created, desk.create(request));
  // Standard output holds the key alone, so that a script can take it.
  fmt::print("{}\n", text_of(created, "key"));
  fmt::print(stderr, "Key {} of {} ({}) ends {} UTC. It is shown only now.\n",
             text_of(created, "id"), text_of(created, "client_id"), text_of(created, "role"),
             format_date(created.value("expires_at", std::int64_t{0})));
  return {};
}

Result<> list(KeyDesk& desk, const Options& options) {
  TRY(const Json keys, desk.list());
  if (options.json) {
    fmt::print("{}\n", keys.dump(2));
  } else {
    print_table(keys);
  }
  return {};
}

Result<> show(KeyDesk& desk, const Options& options) {
  TRY(const Json key, desk.show(options.key));
  if (options.json) {
    fmt::print("{}\n", key.dump(2));
  } else {
    print_fields(key);
  }
  return {};
}

Result<> change(KeyDesk& desk, const Options& options) {
  TRY(const Json fields, fields_of(options.flags));
  TRY(const Json key, desk.change(options.key, fields));
  print_fields(key);
  return {};
}

// What the holder of a key proves himself with.
struct Proof {
  Secret key;
  Secret code;
};

// Asks for what is missing: a key on the command line is seen by everybody on the machine.
Result<Proof> proof_of(const Options& options) {
  Proof proof{.key = Secret::copy_of(options.key), .code = Secret::copy_of(options.code)};
  if (proof.key.empty()) {
    TRY(proof.key, ask("Key", "KEY", Echo::off));
  }
  if (proof.code.empty()) {
    TRY(proof.code, ask("One-time password or recovery code", "--code", Echo::on));
  }
  return proof;
}

Result<> rotate(KeyDesk& desk, const Options& options, std::int64_t lifetime_days) {
  TRY(const Proof proof, proof_of(options));
  TRY(const Json rotated, desk.rotate(proof.key, proof.code, lifetime_days));
  fmt::print("{}\n", text_of(rotated, "key"));
  fmt::print(
      stderr,
      "Key {} of {} takes the place of {} and ends {} UTC. It is shown only now. The old key "
      "ends with the first use of the new one, at the latest {} UTC.\n",
      text_of(rotated, "id"), text_of(rotated, "client_id"), text_of(rotated, "predecessor"),
      format_date(rotated.value("expires_at", std::int64_t{0})),
      format_date(rotated.value("old_key_ends_at", std::int64_t{0})));
  return {};
}

Result<> successor(KeyDesk& desk, const Options& options) {
  TRY(const Proof proof, proof_of(options));
  TRY(const Json fetched, desk.successor(proof.key, proof.code));
  fmt::print("{}\n", text_of(fetched, "key"));
  fmt::print(stderr,
             "Key {} takes the place of {}. It is shown only now, and not given out again.\n",
             text_of(fetched, "id"), text_of(fetched, "replaces"));
  return {};
}

Result<> revoke(KeyDesk& desk, const Options& options) {
  TRY(const Json key, desk.revoke(options.key, options.reason));
  fmt::print("{} is revoked.\n", text_of(key, "id"));
  return {};
}

Result<> expire(KeyDesk& desk, const Options& options, const Clock& clock) {
  std::int64_t at_s = options.at_s;
  if (!options.in.empty()) {
    TRY(const std::int64_t delay_s, parse_duration_s(options.in));
    at_s = clock.unix_ms() / 1000 + delay_s;
  }
  if (at_s == 0) {
    at_s = clock.unix_ms() / 1000;
  }
  TRY(const Json key, desk.expire(options.key, at_s));
  fmt::print("{} ends {} UTC.\n", text_of(key, "id"),
             format_date(key.value("expires_at", std::int64_t{0})));
  return {};
}

using Action = std::function<Result<>(KeyDesk&, const Config&, const Clock&)>;

int run(const Options& options, const Action& action, bool may_create) {
  const auto config = load_config_or_report(options.config);
  if (!config) {
    return kUsage;
  }
  const SystemClock clock;
  auto desk = KeyDesk::open(DataFolder(options.data), *config, clock, may_create);
  if (!desk) {
    return report(desk.error());
  }
  const auto done = action(**desk, *config, clock);
  return done ? kSuccess : report(done.error());
}

constexpr const char* kHelp =
    "Create, list, show, change, rotate, revoke and expire API keys; find and handle leaked ones";

using Add = std::function<CLI::App*(const char* name, const char* help, Action)>;

// What the holder of a key does for himself, with the key and a code of his second factor.
void add_holder_commands(const Add& add, const std::shared_ptr<Options>& options) {
  CLI::App* rotate_command =
      add("rotate", "Give a key a successor, with a one-time password of its client",
          [options](KeyDesk& desk, const Config& config, const Clock&) {
            return rotate(desk, *options, config.keys.lifetime_days);
          });
  CLI::App* successor_command = add(
      "successor",
      "Fetch the key that waits for the client of a leaked one, with a one-time password",
      [options](KeyDesk& desk, const Config&, const Clock&) { return successor(desk, *options); });
  for (CLI::App* command : {rotate_command, successor_command}) {
    command->add_option("KEY", options->key, "The key itself; asked for on a terminal");
    command->add_option("--code", options->code,
                        "A one-time password, or a recovery code; asked for on a terminal");
  }
}

}  // namespace

CLI::App* add_key(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("key", kHelp);
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Action action) {
    const bool may_create = std::string_view(name) == "create";
    return add_with_data(*command, name, help, options, status,
                         [action = std::move(action), may_create](const Options& given) {
                           return run(given, action, may_create);
                         });
  };

  CLI::App* create_command = add("create", "Make a key and print it, alone, on standard output",
                                 [options](KeyDesk& desk, const Config& config, const Clock&) {
                                   return create(desk, *options, config.keys.lifetime_days);
                                 });
  create_command->add_option("--client-id", options->client_id, "Whom the key is for: a-z 0-9 -")
      ->required();
  create_command->add_option("--role", options->role, "user, operator, admin or auditor")
      ->capture_default_str();
  create_command->add_option("--tenant", options->tenant, "The tenant (department)")
      ->capture_default_str();
  create_command->add_option("--expires-in", options->expires_in,
                             "Lifetime such as 30d, 12h, 15m; 90d at most");
  add_key_flags(*create_command, options->flags, false);

  CLI::App* list_command =
      add("list", "List the keys",
          [options](KeyDesk& desk, const Config&, const Clock&) { return list(desk, *options); });
  list_command->add_flag("--json", options->json, "Print JSON");

  constexpr const char* kKeyHelp = "A key's id, its first 8 characters or more, or the key itself";
  CLI::App* show_command =
      add("show", "Show one key",
          [options](KeyDesk& desk, const Config&, const Clock&) { return show(desk, *options); });
  show_command->add_option("KEY", options->key, kKeyHelp)->required();
  show_command->add_flag("--json", options->json, "Print JSON");

  CLI::App* change_command =
      add("change", "Change what a living key may do; takes effect with its next call",
          [options](KeyDesk& desk, const Config&, const Clock&) { return change(desk, *options); });
  change_command->add_option("KEY", options->key, kKeyHelp)->required();
  add_key_flags(*change_command, options->flags, true);

  add_holder_commands(add, options);

  CLI::App* revoke_command =
      add("revoke", "Refuse a key from now on and cut its streams",
          [options](KeyDesk& desk, const Config&, const Clock&) { return revoke(desk, *options); });
  revoke_command->add_option("KEY", options->key, kKeyHelp)->required();
  revoke_command->add_option("--reason", options->reason, "Why; goes into the audit log")
      ->required();

  CLI::App* expire_command = add("expire", "End a key sooner than it would",
                                 [options](KeyDesk& desk, const Config&, const Clock& clock) {
                                   return expire(desk, *options, clock);
                                 });
  expire_command->add_option("KEY", options->key, kKeyHelp)->required();
  expire_command->add_option("--at", options->at_s, "When, in Unix seconds; default: now");
  expire_command->add_option("--in", options->in, "When, from now: 30d, 12h, 15m");
  return command;
}

}  // namespace deepmoat::cli
