#include "cli/audit_reading.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "base/clock.h"
#include "cli/command.h"

namespace deepmoat::cli {

namespace {

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

}  // namespace

const std::atomic<bool>& stop_on_signal() {
  static std::atomic<bool> stopped = false;
  const auto stop = [](int) { stopped = true; };
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);
  return stopped;
}

Result<std::uint64_t> catch_up(review::AuditIndex& index, const DataFolder& folder) {
  TRY(const review::IndexState before, index.state());
  const std::atomic<bool>& stopped = stop_on_signal();
  ProgressLine line;
  TRY(const std::uint64_t added,
      index.catch_up(folder.audit(), &stopped, [&](std::uint64_t so_far) {
        if (!before.complete || so_far > 10 * review::kIndexBatch) {
          line.show(so_far);
        }
      }));
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  if (stopped) {
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

Result<review::Filter> filter_of(const FilterOptions& options) {
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
  TRY(filter.phase, review::parse_phase("--phase", options.phase));
  return filter;
}

void add_filter(CLI::App& command, FilterOptions& options) {
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
}

}  // namespace deepmoat::cli
