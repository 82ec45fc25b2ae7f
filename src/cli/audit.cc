// `deepmoat audit verify|tail` (the others are in audit_query.cc and audit_rules.cc): reads the log
// beside a running server, with nothing but its files.
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>

#include "audit/record_json.h"
#include "audit/tail.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "verifier/log.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::size_t count = 10;
  bool follow = false;
};

int verify(const Options& options) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const auto progress = [terminal](std::uint64_t done, std::uint64_t total) {
    if (terminal && total > 0) {
      fmt::print(stderr, "\rverifying {} %", done * 100 / total);
    }
  };
  verifier::LogOptions checks;
  checks.progress = progress;
  const auto verified = verifier::verify_log(DataFolder(options.data).audit(), checks);
  if (terminal) {
    fmt::print(stderr, "\r                \r");
  }
  if (!verified) {
    return report(
        {verified.error().fault == verifier::Fault::not_there ? Code::not_found : Code::io,
         verified.error().message});
  }
  fmt::print("{}\n", verifier::describe(*verified));
  return verified->intact() ? kSuccess : kFailure;
}

std::atomic<bool>& stop_flag() {
  static std::atomic<bool> flag = false;
  return flag;
}

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
  std::signal(SIGINT, [](int) { stop_flag() = true; });
  std::signal(SIGTERM, [](int) { stop_flag() = true; });
  const auto followed = audit::follow(reader, stop_flag(), print_entry);
  return followed ? kSuccess : report(followed.error());
}

}  // namespace

void add_audit(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("audit", "Verify or read the audit log");
  command->require_subcommand(1);

  CLI::App* verify_command = command->add_subcommand(
      "verify",
      "Check every record and the chain; exit status 0: intact, 1: altered or unreadable");
  verify_command->add_option("--data", options->data, "The data folder")->capture_default_str();
  verify_command->callback([options, &status] { status = verify(*options); });

  CLI::App* tail_command =
      command->add_subcommand("tail", "Print the newest records, one JSON object a line");
  tail_command->add_option("--data", options->data, "The data folder")->capture_default_str();
  tail_command->add_option("-n,--count", options->count, "How many records")->capture_default_str();
  tail_command->add_flag("-f,--follow", options->follow, "Go on printing new ones until Ctrl-C");
  tail_command->callback([options, &status] { status = tail(*options); });
  add_audit_query(*command, status);
  add_audit_rules(*command, status);
  add_audit_retention(*command, status);
}

}  // namespace deepmoat::cli
