// `deepmoat audit query|rebuild-index|lineage`: asks the audit log's index, beside a running server
// if there is one. The index catches up with the log first.
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "audit/record_json.h"
#include "base/printable.h"
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
  review::Filter filter;
  std::string person;
  std::string since;
  std::string until;
  std::string phase = "operations";
  std::uint64_t after = 0;
  std::string format = "json";
  std::string request;
  std::string model_version;
};

std::atomic<bool>& stop_flag() {
  static std::atomic<bool> flag = false;
  return flag;
}

// On a terminal, for as long as it takes; a few records are no news.
class ProgressLine {
 public:
  void show(std::uint64_t added) {
    if (::isatty(STDERR_FILENO) == 1) {
      fmt::print(stderr, "\rindexed {} records", added);
      shown_ = true;
    }
  }
  ~ProgressLine() {
    if (shown_) {
      fmt::print(stderr, "\r{:40}\r", "");
    }
  }

 private:
  bool shown_ = false;
};

Result<std::uint64_t> catch_up(review::AuditIndex& index, const DataFolder& folder) {
  TRY(const review::IndexState before, index.state());
  std::signal(SIGINT, [](int) { stop_flag() = true; });
  std::signal(SIGTERM, [](int) { stop_flag() = true; });
  ProgressLine line;
  TRY(const std::uint64_t added,
      index.catch_up(folder.audit(), &stop_flag(), [&](std::uint64_t so_far) {
        if (!before.complete || so_far > 10 * review::kIndexBatch) {
          line.show(so_far);
        }
      }));
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  if (stop_flag()) {
    return fail(Code::cancelled, "stopped; the next command goes on indexing from here");
  }
  return added;
}

Result<std::unique_ptr<review::AuditIndex>> open_index(const DataFolder& folder) {
  std::error_code error;
  if (!std::filesystem::exists(folder.audit(), error)) {
    return fail(Code::not_found, "there is no audit log in the data folder " +
                                     folder.root().string() + "; name the folder with --data");
  }
  return review::AuditIndex::open(folder.audit_index());
}

Result<std::unique_ptr<review::AuditIndex>> open_current(const DataFolder& folder) {
  TRY(std::unique_ptr<review::AuditIndex> index, open_index(folder));
  const auto added = catch_up(*index, folder);
  if (!added && added.error().code == Code::unavailable) {
    report(added.error());
    fmt::print(stderr, "deepmoat: the answer may lack the newest records\n");
  } else if (!added) {
    return std::unexpected(added.error());
  }
  return index;
}

std::string table_row(const audit::Entry& entry) {
  const audit::Record& r = entry.record;
  const std::string& what = !r.resource.empty() ? r.resource : r.model;
  const std::string line = fmt::format("{:>10}  {:24}  {:12}  {:16}  {:24}  {:24}  {:15}  {}{}{}",
                                       entry.sequence, audit::format_time(r.unix_ms), r.tenant,
                                       r.operator_id, r.action, what, r.ip_address,
                                       r.phase == audit::Phase::intent          ? "pending"
                                       : r.outcome == audit::Outcome::success   ? "success"
                                       : r.outcome == audit::Outcome::refused   ? "refused"
                                       : r.outcome == audit::Outcome::cancelled ? "cancelled"
                                                                                : "failed",
                                       r.reason.empty() ? "" : ": ", r.reason);
  return printable(line) + "\n";
}

std::string table_header() {
  return fmt::format("{:>10}  {:24}  {:12}  {:16}  {:24}  {:24}  {:15}  {}\n", "SEQUENCE", "TIME",
                     "TENANT", "OPERATOR", "ACTION", "RESOURCE", "ADDRESS", "OUTCOME");
}

Result<review::Filter> filter_of(const Options& options) {
  review::Filter filter = options.filter;
  const UnixMillis now_ms = SystemClock().unix_ms();
  if (!options.person.empty()) {
    filter.operator_id = "person:" + options.person;
  }
  if (!options.since.empty()) {
    TRY(filter.since_ms, review::parse_time("--since", options.since, now_ms));
  }
  if (!options.until.empty()) {
    TRY(filter.until_ms, review::parse_time("--until", options.until, now_ms));
  }
  if (options.after != 0) {
    filter.after_sequence = options.after;
  }
  TRY(filter.phase, review::parse_phase("--phase", options.phase));
  return filter;
}

Result<> query(const Options& options) {
  TRY(const review::Filter filter, filter_of(options));
  TRY(const auto index, open_current(DataFolder(options.data)));
  const bool csv = options.format == "csv";
  const bool table = options.format == "table";
  fmt::print("{}", csv ? review::csv_header() : table ? table_header() : "");
  std::uint64_t last = 0;
  TRY(const std::uint64_t count, review::query(*index, filter, [&](const audit::Entry& entry) {
        fmt::print("{}", csv     ? review::csv_row(entry)
                         : table ? table_row(entry)
                                 : audit::to_json_line(entry) + "\n");
        last = entry.sequence;
      }));
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

// Everything but printable ASCII is escaped: a terminal must not obey what a record holds.
void print_json(const Json& json) {
  fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace));
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

void add_filter(CLI::App& command, Options& options) {
  review::Filter& filter = options.filter;
  command.add_option("--tenant", filter.tenant, "Of this tenant");
  command.add_option("--key", filter.key_id, "With this key, by its id");
  CLI::Option* client = command.add_option("--operator", filter.operator_id, "By this client");
  command.add_option("--person", options.person, "By this person, signed in or signing in")
      ->excludes(client);
  command.add_option("--model", filter.model, "With this model");
  command.add_option("--route", filter.route, "On this route: local, or a remote's name");
  command.add_option("--class", filter.data_class, "With data of this class");
  command.add_option("--action", filter.action, "Such as chat.completions or key.create");
  command.add_option("--operation", filter.operation, "READ, WRITE, DELETE or EXECUTE");
  command.add_option("--outcome", filter.outcome, "pending, success, refused, failed or cancelled");
  command.add_option("--reason", filter.reason, "With this error code");
  command.add_option("--request", filter.request_id, "Of this request");
  command.add_option("--ip", filter.ip_address, "From this address");
  command.add_option("--since", options.since,
                     "From this time on: 2026-11-30, 2026-11-30T12:00:00Z, 7d, 24h");
  command.add_option("--until", options.until, "Before this time");
  command.add_option("--phase", options.phase, "operations (a row each), intents, results or all")
      ->capture_default_str();
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
  add_filter(*add(audit, "query", "Print the records that fit", options, status, query), *options);
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
