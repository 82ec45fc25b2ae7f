// `deepmoat audit query|rebuild-index|lineage`: asks the audit log's index, beside a running server
// if there is one. The index catches up with the log first.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "audit/record_json.h"
#include "base/printable.h"
#include "cli/audit_reading.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "review/audit_index.h"
#include "review/csv.h"
#include "review/lineage.h"
#include "review/query.h"

namespace deepmoat::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string data = kDataFolderDefault;
  FilterOptions filter{.phase = "operations"};
  std::uint64_t after = 0;
  std::string format = "json";
  std::string request;
  std::string model_version;
};

std::string table_row(const audit::Entry& entry) {
  const audit::Record& r = entry.record;
  const std::string& what = !r.resource.empty() ? r.resource : r.model;
  const std::string line =
      fmt::format("{:>10}  {:24}  {:12}  {:16}  {:24}  {:24}  {:15}  {}{}{}", entry.sequence,
                  audit::format_time(r.unix_ms), r.tenant, r.operator_id, r.action, what,
                  r.ip_address, r.phase == audit::Phase::intent ? "pending" : name_of(r.outcome),
                  r.reason.empty() ? "" : ": ", r.reason);
  return printable(line) + "\n";
}

std::string table_header() {
  return fmt::format("{:>10}  {:24}  {:12}  {:16}  {:24}  {:24}  {:15}  {}\n", "SEQUENCE", "TIME",
                     "TENANT", "OPERATOR", "ACTION", "RESOURCE", "ADDRESS", "OUTCOME");
}

Result<> query(const Options& options) {
  TRY(review::Filter filter, filter_of(options.filter));
  if (options.after != 0) {
    filter.after_sequence = options.after;
  }
  TRY(const auto index, open_current(DataFolder(options.data)));
  const bool csv = options.format == "csv";
  const bool table = options.format == "table";
  const std::string header = csv ? review::csv_header() : table ? table_header() : "";
  std::uint64_t last = 0;
  TRY(const std::uint64_t count, review::query(*index, filter, [&](const audit::Entry& entry) {
        fmt::print("{}{}", last == 0 ? header : "",
                   csv     ? review::csv_row(entry)
                   : table ? table_row(entry)
                           : audit::to_json_line(entry) + "\n");
        last = entry.sequence;
      }));
  if (count == 0) {  // not earlier: an error has nothing before it
    fmt::print("{}", header);
  }
  if (count == filter.limit) {
    fmt::print(stderr, "deepmoat: {} records; there may be more: add --after {}\n", count, last);
  }
  return {};
}

Result<> rebuild(const Options& options) {
  const DataFolder folder(options.data);
  TRY(const auto index, open_index(folder));
  CHECK_OK(index->rebuild());
  TRY(const std::uint64_t added, catch_up(*index, folder));
  fmt::print("indexed {} records\n", added);
  return {};
}

Json to_json(const review::CallLineage& call) {
  return {{"sequence", call.sequence},     {"time", audit::format_time(call.unix_ms)},
          {"request_id", call.request_id}, {"tenant", call.tenant},
          {"operator", call.operator_id},  {"action", call.action},
          {"outcome", call.outcome},       {"route", call.route},
          {"model", call.model},           {"model_version", call.model_version},
          {"adapter", call.adapter},       {"adapter_version", call.adapter_version},
          {"knowledge", call.knowledge}};
}

Json to_json(const review::VersionLineage& lineage) {
  Json imports = Json::array();
  for (const review::ImportRecord& one : lineage.imports) {
    imports.push_back({{"sequence", one.sequence},
                       {"time", audit::format_time(one.unix_ms)},
                       {"tenant", one.tenant},
                       {"operator", one.operator_id},
                       {"resource", one.resource},
                       {"reason", one.reason}});
  }
  Json calls = {{"count", lineage.calls}};
  if (lineage.calls > 0) {
    calls["first"] = audit::format_time(lineage.first_ms);
    calls["last"] = audit::format_time(lineage.last_ms);
    calls["first_sequence"] = lineage.first_sequence;
    calls["last_sequence"] = lineage.last_sequence;
  }
  return {{"version", lineage.version}, {"imports", imports}, {"calls", calls}};
}

Result<> lineage(const Options& options) {
  TRY(const auto index, open_current(DataFolder(options.data)));
  if (!options.model_version.empty()) {
    TRY(const review::VersionLineage found,
        review::lineage_of_version(*index, options.model_version));
    print_json(to_json(found));
    return {};
  }
  TRY(const auto calls, review::lineage_of_request(*index, options.request));
  for (const review::CallLineage& call : calls) {
    print_json(to_json(call));
  }
  return {};
}

// `run` with the options of a command of its own.
CLI::App* add(CLI::App& audit, const char* name, const char* help,
              const std::shared_ptr<Options>& options, int& status,
              Result<> (*run)(const Options&)) {
  CLI::App* command = audit.add_subcommand(name, help);
  command->add_option("--data", options->data, "The data folder")->capture_default_str();
  command->callback([options, run, &status] {
    const Result<> done = run(*options);
    const bool usage = !done && done.error().code == Code::invalid_argument;
    status = done ? kSuccess : (report(done.error()), usage ? kUsage : kFailure);
  });
  return command;
}

void add_page(CLI::App& command, Options& options) {
  add_filter(command, options.filter);
  review::Filter& filter = options.filter.filter;
  command.add_option("--limit", filter.limit, "How many records at most, up to 100000")
      ->capture_default_str();
  command.add_option("--after", options.after, "Go on behind this sequence");
  command.add_flag("--newest", filter.newest_first, "The newest first");
  command.add_option("--format", options.format, "json (an object a line), csv or table")
      ->check(CLI::IsMember({"json", "csv", "table"}))
      ->capture_default_str();
}

}  // namespace

void add_audit_query(CLI::App& audit, int& status) {
  const auto options = std::make_shared<Options>();
  add_page(*add(audit, "query", "Print the records that fit", options, status, query), *options);
  add(audit, "rebuild-index", "Make the index again from the log", options, status, rebuild);
  CLI::App* command = add(audit, "lineage",
                          "Print what answered a request, or where a model's version came from and "
                          "what used it",
                          options, status, lineage);
  CLI::App* subject = command->add_option_group("subject");
  subject->add_option("--request", options->request, "The request's id");
  subject->add_option("--model-version", options->model_version,
                      "16 to 64 digits of the SHA-256 of a model's or an adapter's file");
  subject->require_option(1);
}

}  // namespace deepmoat::cli
