// `deepmoat approval list|approve|refuse`: what waits for a second person.
#include <fmt/format.h>

#include <cstdio>
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
  std::string id;
  std::string reason;
  bool all = false;
  bool json = false;
};

constexpr const char* kPath = "/admin/v1/approvals";

Result<> list(AdminDesk& desk, const Options& options) {
  TRY(const Json answer, desk.ask("GET", kPath, nullptr));
  Json shown = Json::array();
  for (const Json& one : answer.at("data")) {
    if (options.all || text_of(one, "state") == "waiting") {
      shown.push_back(one);
    }
  }
  if (options.json) {
    fmt::print("{}\n", shown.dump(2));
    return {};
  }
  fmt::print("{:<29} {:<11} {:<21} {:<24} {:<20} {:<17} {}\n", "ID", "STATE", "ACTION", "OF",
             "REQUESTED BY", "UNTIL (UTC)", "DECIDED BY");
  for (const Json& one : shown) {
    const std::string reason = text_of(one, "reason");
    fmt::print("{:<29} {:<11} {:<21} {:<24} {:<20} {:<17} {}{}\n", text_of(one, "id"),
               text_of(one, "state"), text_of(one, "action"), text_of(one, "resource"),
               text_of(one, "requested_by"), format_date(one.value("expires_at", std::int64_t{0})),
               text_of(one, "decided_by"), reason.empty() ? "" : ": " + reason);
  }
  return {};
}

Result<> approve(AdminDesk& desk, const Options& options) {
  TRY(const Json answer,
      desk.ask("POST", admin_path({"approvals", options.id, "approve"}), Json::object()));
  fmt::print(stderr, "{} is approved and done. Its answer:\n", options.id);
  fmt::print("{}\n", answer.dump(2));
  return {};
}

Result<> refuse(AdminDesk& desk, const Options& options) {
  TRY(const Json refused, desk.ask("POST", admin_path({"approvals", options.id, "refuse"}),
                                   Json{{"reason", options.reason}}));
  fmt::print("{} is {}; nothing was done.\n", options.id, text_of(refused, "state"));
  return {};
}

using Action = std::function<Result<>(AdminDesk&, const Options&)>;

Result<> at_the_server(AdminDesk& desk, const Options& options, const Action& action) {
  if (!desk.served()) {
    return fail(Code::unavailable,
                "no server runs on this data folder, and it is the server that carries out what "
                "was approved: start it, then say it again");
  }
  return action(desk, options);
}

}  // namespace

void add_approval(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "approval", "What waits for a second person (approval.two_persons): list, approve, refuse");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, const Action& action) {
    return add_desk_command<Options>(*command, name, help, options, status,
                                     [action](AdminDesk& desk, const Options& given) {
                                       return at_the_server(desk, given, action);
                                     });
  };
  CLI::App* list_command = add("list", "What waits, the newest first", list);
  list_command->add_flag("--all", options->all, "Also what was decided or is over");
  list_command->add_flag("--json", options->json, "Print JSON, with each request's body");
  add("approve", "Carry it out now, as the second person", approve)
      ->add_option("ID", options->id, "apr_...")
      ->required();
  CLI::App* refuse_command = add("refuse", "End it, undone; whoever asked withdraws it so", refuse);
  refuse_command->add_option("ID", options->id, "apr_...")->required();
  refuse_command->add_option("--reason", options->reason, "Why, for people and the audit log")
      ->required();
}

}  // namespace deepmoat::cli
