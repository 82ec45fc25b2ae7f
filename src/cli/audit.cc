// `deepmoat audit tail` (the others are in the audit_*.cc beside it): reads the log beside a
// running server, with nothing but its files.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "audit/record_json.h"
#include "audit/tail.h"
#include "cli/audit_reading.h"
#include "cli/command.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::size_t count = 10;
  bool follow = false;
};

void print_entry(const audit::Entry& entry) {
  fmt::print("{}\n", audit::to_json_line(entry));
  std::fflush(stdout);
}

int tail(const Options& options) {
  audit::TailReader reader(DataFolder(options.data).audit());
  const auto entries = reader.read_last(options.count);
  if (!entries) {
    return report(entries.error());
  }
  for (const audit::Entry& entry : *entries) {
    print_entry(entry);
  }
  if (!options.follow) {
    return kSuccess;
  }
  const auto followed = audit::follow(reader, stop_on_signal(), print_entry);
  return followed ? kSuccess : report(followed.error());
}

}  // namespace

void add_audit(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("audit", "Read, verify and prove the audit log, and report a month of it");
  command->require_subcommand(1);

  CLI::App* tail_command =
      command->add_subcommand("tail", "Print the newest records, one JSON object a line");
  tail_command->add_option("--data", options->data, "The data folder")->capture_default_str();
  tail_command->add_option("-n,--count", options->count, "How many records")->capture_default_str();
  tail_command->add_flag("-f,--follow", options->follow, "Go on printing new ones until Ctrl-C");
  tail_command->callback([options, &status] { status = tail(*options); });
  add_audit_query(*command, status);
  add_audit_rules(*command, status);
  add_audit_retention(*command, status);
  add_audit_evidence(*command, status);
  add_audit_check(*command, status);
}

}  // namespace deepmoat::cli
