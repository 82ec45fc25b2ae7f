// `deepmoat webhook add|list|remove|test|deliveries`
#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>

#include "cli/admin_desk.h"
#include "cli/command.h"
#include "cli/local_client.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string url;
  std::vector<std::string> events;
  std::string tenant = "default";
  std::string id;
  bool json = false;
};

constexpr const char* kPath = "/admin/v1/webhooks";

std::string time_of(const Json& json, const char* field) {
  const std::time_t time = json.value(field, std::int64_t{0});
  if (time == 0) {
    return "-";
  }
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

std::string joined(const Json& list) {
  std::string text;
  for (const Json& one : list) {
    text += (text.empty() ? "" : " ") + one.get<std::string>();
  }
  return text;
}

Result<> add(AdminDesk& desk, const Options& options) {
  TRY(const Json added,
      desk.ask("POST", kPath,
               Json{{"url", options.url}, {"events", options.events}, {"tenant", options.tenant}}));
  // Standard output holds the secret alone, so that a script can take it.
  fmt::print("{}\n", text_of(added, "secret"));
  fmt::print(stderr, "Webhook {} for {}. Its secret is shown only now.\n", text_of(added, "id"),
             joined(added.at("events")));
  return {};
}

Result<> list(AdminDesk& desk, const Options& options) {
  TRY(const Json answer, desk.ask("GET", kPath, nullptr));
  const Json& webhooks = answer.at("data");
  if (options.json) {
    fmt::print("{}\n", webhooks.dump(2));
    return {};
  }
  fmt::print("{:<29} {:<12} {:<26} {}\n", "ID", "TENANT", "EVENTS", "URL");
  for (const Json& one : webhooks) {
    fmt::print("{:<29} {:<12} {:<26} {}\n", text_of(one, "id"), text_of(one, "tenant"),
               joined(one.at("events")), text_of(one, "url"));
  }
  return {};
}

Result<> remove(AdminDesk& desk, const Options& options) {
  TRY(const Json removed,
      desk.ask("POST", admin_path({"webhooks", options.id, "remove"}), Json::object()));
  fmt::print("{} is removed.\n", text_of(removed, "id"));
  return {};
}

Result<> test(AdminDesk& desk, const Options& options) {
  TRY(const Json queued,
      desk.ask("POST", admin_path({"webhooks", options.id, "test"}), Json::object()));
  fmt::print("A test waits for {}{}; see: deepmoat webhook deliveries\n",
             text_of(queued, "webhook"),
             desk.served() ? "" : " and is sent when a server runs on this data folder");
  return {};
}

Result<> deliveries(AdminDesk& desk, const Options& options) {
  TRY(const Json answer, desk.ask("GET", "/admin/v1/webhook-deliveries", nullptr));
  const Json& rows = answer.at("data");
  if (options.json) {
    fmt::print("{}\n", rows.dump(2));
    return {};
  }
  fmt::print("{:<29} {:<29} {:<13} {:<10} {:>5} {:>6} {:<20} {}\n", "ID", "WEBHOOK", "EVENT",
             "STATE", "TRIES", "STATUS", "NEXT TRY (UTC)", "LAST ERROR");
  for (const Json& row : rows) {
    fmt::print("{:<29} {:<29} {:<13} {:<10} {:>5} {:>6} {:<20} {}\n", text_of(row, "id"),
               text_of(row, "webhook"), text_of(row, "event"), text_of(row, "state"),
               row.value("attempts", std::int64_t{0}), row.value("last_status", std::int64_t{0}),
               time_of(row, "next_attempt_at"), text_of(row, "last_error"));
  }
  return {};
}

using Action = std::function<Result<>(AdminDesk&, const Options&)>;

}  // namespace

void add_webhook(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "webhook",
      "Programs that are told when a key has leaked or will end, or when something waits for a "
      "second person");
  command->require_subcommand(1);
  const auto make = [&](const char* name, const char* help, const Action& action) {
    return add_desk_command<Options>(*command, name, help, options, status, action);
  };
  CLI::App* add_command =
      make("add", "Tell a program; prints the secret that signs the messages, alone", add);
  add_command->add_option("URL", options->url, "https://..., or http:// on this machine")
      ->required();
  add_command
      ->add_option("--event", options->events,
                   "key.leaked, key.expiring or approval.waiting; repeat it")
      ->required()
      ->take_all();
  add_command
      ->add_option("--tenant", options->tenant,
                   "Of the keys that it is told of; default: all tenants")
      ->capture_default_str();
  make("list", "List the webhooks", list)->add_flag("--json", options->json, "Print JSON");
  make("deliveries", "What was sent and what waits, the newest first", deliveries)
      ->add_flag("--json", options->json, "Print JSON");
  for (const auto& [name, help, action] :
       {std::tuple<const char*, const char*, Action>{"remove", "Tell it nothing more", remove},
        {"test", "Send it a webhook.test", test}}) {
    make(name, help, action)->add_option("ID", options->id, "whk_...")->required();
  }
}

}  // namespace deepmoat::cli
