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

Result<Span> span_of(const std::string& since, const std::string& until) {
  const UnixMillis now_ms = SystemClock().unix_ms();
  Span span;
  if (!since.empty()) {
    TRY(span.since_ms, review::parse_time("--since", since, now_ms));
  }
  if (!until.empty()) {
    TRY(span.until_ms, review::parse_time("--until", until, now_ms));
  }
  CHECK_OK(review::check_filter({.since_ms = span.since_ms, .until_ms = span.until_ms}, "--"));
  return span;
}

Result<review::Filter> filter_of(const FilterOptions& options) {
  review::Filter filter = options.filter;
  if (!options.person.empty()) {
    filter.operator_id = "person:" + options.person;
  }
  TRY(const Span span, span_of(options.since, options.until));
  filter.since_ms = span.since_ms;
  filter.until_ms = span.until_ms;
  TRY(filter.phase, review::parse_phase("--phase", options.phase));
  CHECK_OK(review::check_filter(filter, "--"));
  return filter;
}

CLI::Validator not_empty() {
  return {[](const std::string& text) {
            return std::string(text.empty() ? "it has no value; give one, or leave it out" : "");
          },
          ""};
}

void add_filter(CLI::App& command, FilterOptions& options) {
  review::Filter& filter = options.filter;
  const auto add = [&command](const char* name, std::string& value, const char* help) {
    return command.add_option(name, value, help)->check(not_empty());
  };
  add("--tenant", filter.tenant, "Of this tenant");
  add("--key", filter.key_id, "With this key, by its id");
  CLI::Option* client = add("--operator", filter.operator_id, "By this client");
  add("--person", options.person, "By this person, signed in or signing in")->excludes(client);
  add("--model", filter.model, "With this model");
  add("--route", filter.route, "On this route: local, or a remote's name");
  add("--class", filter.data_class,
      "With data of this class: public, internal, sensitive or restricted");
  add("--action", filter.action, "Such as chat.completions or key.create");
  add("--operation", filter.operation, "READ, WRITE, DELETE or EXECUTE");
  add("--outcome", filter.outcome, "pending, success, refused, failed or cancelled");
  add("--reason", filter.reason, "With this error code");
  add("--request", filter.request_id, "Of this request");
  add("--ip", filter.ip_address, "From this address");
  add("--since", options.since, "From this time on: 2026-11-30, 2026-11-30T12:00:00Z, 7d, 24h");
  add("--until", options.until, "Before this time");
  command.add_option("--phase", options.phase, "operations (a row each), intents, results or all")
      ->capture_default_str();
}

}  // namespace deepmoat::cli
