// `deepmoat person create|list|show|change|reset-password|sign-out|remove`: people who sign in, and
// `deepmoat person sessions`.
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <memory>

#include "base/printable.h"
#include "cli/admin_desk.h"
#include "cli/command.h"
#include "cli/local_client.h"
#include "identity/api_key.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string name;
  std::string tenant = "default";
  std::string role;
  std::string label;
  bool has_label = false;
  bool disable = false;
  bool enable = false;
  bool json = false;
};

constexpr const char* kPath = "/admin/v1/people";

std::string date_of(const Json& json, const char* field) {
  return format_date(json.value(field, std::int64_t{0}));
}

// Of one person.
Result<std::string> path_of(const Options& options) {
  CHECK_OK(identity::check_name("NAME", options.name));
  CHECK_OK(identity::check_name("--tenant", options.tenant));
  return admin_path({"people", options.tenant, options.name});
}

void print_password(const Json& person, const Options& options) {
  if (options.json) {
    fmt::print("{}\n", person.dump(2));
    return;
  }
  fmt::print("{}\n", text_of(person, "password"));
  fmt::print(stderr,
             "The line above is the password of {} ({}). It is shown only now and is good for one "
             "sign-in, which sets another.\n",
             text_of(person, "name"), text_of(person, "role"));
  if (!person.value("second_factor", false)) {
    fmt::print(stderr,
               "{0} has no second factor yet and cannot sign in without: deepmoat totp enrol "
               "--client-id {0} --tenant {1} --data {2}\n",
               text_of(person, "name"), text_of(person, "tenant"), options.data);
  }
}

void print_person(const Json& person, const Options& options) {
  if (options.json) {
    fmt::print("{}\n", person.dump(2));
    return;
  }
  for (const auto& [name, value] : person.items()) {
    const bool time = name.ends_with("_at") || name == "locked_until";
    fmt::print("{:<22} {}\n", name,
               time                ? format_date(value.get<std::int64_t>()) + " UTC"
               : value.is_string() ? printable(value.get<std::string>())
                                   : value.dump());
  }
}

Result<> create(AdminDesk& desk, const Options& options) {
  TRY(const Json made, desk.ask("POST", kPath,
                                Json{{"name", options.name},
                                     {"tenant", options.tenant},
                                     {"role", options.role},
                                     {"label", options.label}}));
  print_password(made, options);
  return {};
}

Result<> list(AdminDesk& desk, const Options& options) {
  TRY(const Json answer, desk.ask("GET", kPath, nullptr));
  const Json& people = answer.at("data");
  if (options.json) {
    fmt::print("{}\n", people.dump(2));
    return {};
  }
  fmt::print("{:<9} {:<12} {:<20} {:<9} {:<13} {}\n", "STATE", "TENANT", "NAME", "ROLE",
             "SECOND FACTOR", "LABEL");
  for (const Json& person : people) {
    fmt::print("{:<9} {:<12} {:<20} {:<9} {:<13} {}\n", text_of(person, "state"),
               text_of(person, "tenant"), text_of(person, "name"), text_of(person, "role"),
               person.value("second_factor", false) ? "yes" : "no", text_of(person, "label"));
  }
  return {};
}

Result<> show(AdminDesk& desk, const Options& options) {
  TRY(const std::string path, path_of(options));
  TRY(const Json person, desk.ask("GET", path, nullptr));
  print_person(person, options);
  return {};
}

Result<> change(AdminDesk& desk, const Options& options) {
  Json fields = Json::object();
  if (!options.role.empty()) {
    fields["role"] = options.role;
  }
  if (options.has_label) {
    fields["label"] = options.label;
  }
  if (options.disable || options.enable) {
    fields["disabled"] = options.disable;
  }
  if (fields.empty()) {
    return fail(Code::invalid_argument,
                "nothing is to be changed; name --role, --label, --disable or --enable");
  }
  TRY(const std::string path, path_of(options));
  TRY(const Json person, desk.ask("PATCH", path, fields));
  print_person(person, options);
  return {};
}

Result<> reset_password(AdminDesk& desk, const Options& options) {
  TRY(const std::string path, path_of(options));
  TRY(const Json person, desk.ask("POST", path + "/reset-password", Json::object()));
  print_password(person, options);
  return {};
}

Result<> sign_out(AdminDesk& desk, const Options& options) {
  TRY(const std::string path, path_of(options));
  TRY(const Json done, desk.ask("POST", path + "/sign-out", Json::object()));
  fmt::print("Sessions of {1} that have ended: {0}.\n",
             done.value("sessions_ended", std::int64_t{0}), options.name);
  return {};
}

Result<> remove(AdminDesk& desk, const Options& options) {
  TRY(const std::string path, path_of(options));
  TRY([[maybe_unused]] const Json done, desk.ask("POST", path + "/remove", Json::object()));
  fmt::print("{} is removed.\n", options.name);
  return {};
}

Result<> sessions(AdminDesk& desk, const Options& options) {
  TRY(const Json answer, desk.ask("GET", "/admin/v1/sessions", nullptr));
  const Json& open = answer.at("data");
  if (options.json) {
    fmt::print("{}\n", open.dump(2));
    return {};
  }
  if (!desk.served()) {
    fmt::print(stderr, "No server runs, so nobody is signed in.\n");
  }
  fmt::print("{:<12} {:<20} {:<9} {:<11} {:<17} {}\n", "TENANT", "NAME", "ROLE", "WITH",
             "LAST CALL", "ADDRESS");
  for (const Json& session : open) {
    fmt::print("{:<12} {:<20} {:<9} {:<11} {:<17} {}\n", text_of(session, "tenant"),
               text_of(session, "name"), text_of(session, "role"),
               text_of(session, "signed_in_with"), date_of(session, "used_at"),
               text_of(session, "address"));
  }
  return {};
}

using Action = std::function<Result<>(AdminDesk&, const Options&)>;

}  // namespace

void add_person(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "person", "People who sign in with a password and a second factor, or a certificate");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, const Action& action) {
    return add_desk_command<Options>(*command, name, help, options, status, action);
  };
  const auto add_for_one = [&](const char* name, const char* help, const Action& action) {
    CLI::App* added = add(name, help, action);
    added->add_option("NAME", options->name, "The person's name")->required();
    added->add_option("--tenant", options->tenant, "The person's tenant")->capture_default_str();
    return added;
  };
  constexpr const char* kJson = "Print JSON";
  constexpr const char* kRoles = "user, operator, admin or auditor";

  CLI::App* create_command =
      add_for_one("create", "Add a person; prints a password that is good once", create);
  create_command->add_option("--role", options->role, kRoles)->required();
  create_command->add_option("--label", options->label, "Free text, such as the full name");
  create_command->add_flag("--json", options->json, kJson);

  add("list", "List them", list)->add_flag("--json", options->json, kJson);
  add_for_one("show", "Show one", show)->add_flag("--json", options->json, kJson);

  CLI::App* change_command =
      add_for_one("change", "Another role or label; disable or enable", change);
  change_command->add_option("--role", options->role, kRoles);
  change_command->add_option_function<std::string>(
      "--label",
      [options](const std::string& label) {
        options->label = label;
        options->has_label = true;
      },
      "Free text; \"\" takes it away");
  CLI::Option* disable = change_command->add_flag("--disable", options->disable,
                                                  "No sign-in any more; what is open ends now");
  change_command->add_flag("--enable", options->enable, "Sign-in again")->excludes(disable);
  change_command->add_flag("--json", options->json, kJson);

  add_for_one("reset-password", "A new password that is good once; ends the sessions and the lock",
              reset_password)
      ->add_flag("--json", options->json, kJson);
  add_for_one("sign-out", "End all sessions of a person now", sign_out);
  add_for_one("remove", "Remove a person; keys and the second factor stay", remove);
  add("sessions", "Who is signed in", sessions)->add_flag("--json", options->json, kJson);
}

}  // namespace deepmoat::cli
