// `deepmoat tenant create|list|show|change`
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/key_desk.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string name;
  std::optional<std::string> organisation;
  std::optional<std::string> label;
  bool json = false;
};

Json fields_of(const Options& options) {
  Json fields = Json::object();
  if (options.organisation) {
    fields["organisation"] = *options.organisation;
  }
  if (options.label) {
    fields["label"] = *options.label;
  }
  return fields;
}

void print_table(const Json& tenants) {
  fmt::print("{:<24} {:<24} {:<17} {}\n", "TENANT", "ORGANISATION", "CREATED (UTC)", "LABEL");
  for (const Json& tenant : tenants) {
    fmt::print("{:<24} {:<24} {:<17} {}\n", text_of(tenant, "name"),
               text_of(tenant, "organisation"),
               format_date(tenant.value("created_at", std::int64_t{0})), text_of(tenant, "label"));
  }
}

void print_one(const Json& tenant, bool json) {
  if (json) {
    fmt::print("{}\n", tenant.dump(2));
    return;
  }
  for (const char* field : {"name", "organisation", "label"}) {
    fmt::print("{:<14} {}\n", field, text_of(tenant, field));
  }
  fmt::print("{:<14} {} UTC\n", "created_at",
             format_date(tenant.value("created_at", std::int64_t{0})));
}

using Action = std::function<Result<>(KeyDesk&)>;

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
  const auto done = action(**desk);
  return done ? kSuccess : report(done.error());
}

}  // namespace

void add_tenant(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "tenant", "Create, list, show and change tenants: the departments whose keys these are");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Action action) {
    const bool may_create = std::string_view(name) == "create";
    return add_with_data(*command, name, help, options, status,
                         [action = std::move(action), may_create](const Options& given) {
                           return run(given, action, may_create);
                         });
  };
  const auto add_fields = [&](CLI::App* to) {
    to->add_option("TENANT", options->name, "Its name: a-z 0-9 -")->required();
    to->add_option("--organisation", options->organisation, "The organisation it belongs to");
    to->add_option("--label", options->label, "A note for people");
  };

  CLI::App* create = add("create", "Make a tenant; a key for a new one makes it too",
                         [options](KeyDesk& desk) -> Result<> {
                           Json request = fields_of(*options);
                           request["name"] = options->name;
                           TRY(const Json tenant, desk.create_tenant(request));
                           fmt::print("{} is there.\n", text_of(tenant, "name"));
                           return {};
                         });
  add_fields(create);

  CLI::App* list = add("list", "List the tenants", [options](KeyDesk& desk) -> Result<> {
    TRY(const Json tenants, desk.list_tenants());
    if (options->json) {
      fmt::print("{}\n", tenants.dump(2));
    } else {
      print_table(tenants);
    }
    return {};
  });
  list->add_flag("--json", options->json, "Print JSON");

  CLI::App* show = add("show", "Show one tenant", [options](KeyDesk& desk) -> Result<> {
    TRY(const Json tenant, desk.show_tenant(options->name));
    print_one(tenant, options->json);
    return {};
  });
  show->add_option("TENANT", options->name, "Its name")->required();
  show->add_flag("--json", options->json, "Print JSON");

  CLI::App* change =
      add("change", "Change a tenant's organisation or note", [options](KeyDesk& desk) -> Result<> {
        TRY(const Json tenant, desk.change_tenant(options->name, fields_of(*options)));
        print_one(tenant, false);
        return {};
      });
  add_fields(change);
}

}  // namespace deepmoat::cli
