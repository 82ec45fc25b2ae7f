// `deepmoat key leak`: everything at once that has to be done when a key is in the wrong hands.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/printable.h"
#include "cli/admin_desk.h"
#include "cli/command.h"
#include "cli/local_client.h"

namespace deepmoat::cli {

namespace {

constexpr std::size_t kValuesShown = 10;

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string key;
  std::string reason;
  bool json = false;
  bool public_key = false;
};

std::string text_at(const Json& json, const char* pointer) {
  return printable(json.value(Json::json_pointer(pointer), std::string()));
}

std::uint64_t number_at(const Json& json, const char* pointer) {
  return json.value(Json::json_pointer(pointer), std::uint64_t{0});
}

void print_counts(const Json& report, const char* title, const char* field) {
  const Json& counts = report.at(field);
  std::size_t shown = 0;
  for (const Json& count : counts) {
    if (shown++ == kValuesShown) {
      fmt::print("    ... and {} more; see the incident\n", counts.size() - kValuesShown);
      break;
    }
    fmt::print("  {:<12} {:<32} {:>8} calls  {} to {}\n", shown == 1 ? title : "",
               text_at(count, "/value"), number_at(count, "/calls"), text_at(count, "/first"),
               text_at(count, "/last"));
  }
}

void print_report(const Json& report) {
  fmt::print("In the last 30 days it made {} calls ({} tokens in, {} out).\n",
             number_at(report, "/total/calls"), number_at(report, "/total/tokens_in"),
             number_at(report, "/total/tokens_out"));
  print_counts(report, "address", "by_address");
  print_counts(report, "model", "by_model");
  print_counts(report, "data class", "by_data_class");
  print_counts(report, "outcome", "by_outcome");
  print_counts(report, "action", "by_action");
  print_counts(report, "LEFT HERE", "egress");
  if (report.at("egress").empty()) {
    fmt::print("Nothing of it left this installation.\n");
  }
  for (const Json& change : report.at("changes")) {
    fmt::print("  it changed   {} {} ({}, {})\n", text_at(change, "/action"),
               text_at(change, "/resource"), text_at(change, "/outcome"), text_at(change, "/at"));
  }
  if (!report.value("complete", false)) {
    fmt::print("THE REPORT IS NOT COMPLETE: {}\n", text_at(report, "/fault"));
  }
}

void print_outcome(const Json& answer, const DataFolder& folder) {
  const Json& incident = answer.at("incident");
  fmt::print("{} of {} ({}, tenant {}) is revoked; it was {}.\n", text_at(incident, "/key/id"),
             text_at(incident, "/key/client_id"), text_at(incident, "/key/role"),
             text_at(incident, "/key/tenant"), text_at(incident, "/key/state_before"));
  print_report(incident.at("report"));
  fmt::print("Incident {}, signed: {}\n", text_at(incident, "/id"),
             (folder.incidents() / (text_at(incident, "/id") + ".json")).string());
  fmt::print("{} webhooks are told.\n", number_at(answer, "/webhooks"));
  fmt::print("{}\n", text_at(answer, "/successor/how"));
}

Result<> leak(const Options& options, const Config& config, const Clock& clock) {
  const DataFolder folder(options.data);
  TRY(const auto desk, AdminDesk::open(folder, config, clock));
  if (options.public_key) {
    TRY(const Json key, desk->ask("GET", "/admin/v1/incident-key", nullptr));
    fmt::print("{}", options.json ? key.dump(2) + "\n" : key.at("public_key").get<std::string>());
    return {};
  }
  if (options.key.empty() || options.reason.empty()) {
    return fail(Code::invalid_argument, "name the key, and give --reason: it goes on record");
  }
  TRY(const Json answer, desk->ask("POST", admin_path({"keys", options.key, "leak"}),
                                   Json{{"reason", options.reason}}));
  if (options.json) {
    fmt::print("{}\n", answer.dump(2));
  } else {
    print_outcome(answer, folder);
  }
  return {};
}

}  // namespace

void add_key_leak(CLI::App& key, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = key.add_subcommand(
      "leak",
      "A key is in the wrong hands: revoke it, cut its streams, report what it did, tell "
      "the webhooks, and keep a signed record");
  command->add_option("KEY", options->key,
                      "The key's id, its first 8 characters or more, or the key itself");
  command->add_option("--reason", options->reason, "What happened; goes on record");
  command->add_flag("--public-key", options->public_key,
                    "Only print the public key that verifies the records");
  command->add_flag("--json", options->json, "Print JSON");
  command->add_option("--data", options->data, "The data folder")->capture_default_str();
  command->add_option("--config", options->config, "The configuration file");
  command->callback([options, &status] {
    const auto config = load_config_or_report(options->config);
    if (!config) {
      status = kUsage;
      return;
    }
    const SystemClock clock;
    const auto done = leak(*options, *config, clock);
    status = done ? kSuccess : report(done.error());
  });
}

}  // namespace deepmoat::cli
