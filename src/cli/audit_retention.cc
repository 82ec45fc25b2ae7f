// `deepmoat audit retention`: what retention would delete, and a run by hand. A server does it by
// itself once a day (retention_keeper.h).
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "cli/installation.h"
#include "cli/retention_keeper.h"
#include "review/retention_run.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  bool dry_run = false;
  bool clock_is_right = false;
};

// Why a run does not go as far as the clock; empty: it does. Before the run: it notes its time.
std::string brake(const std::filesystem::path& log_folder, UnixMillis now_ms) {
  const UnixMillis last_ms = review::last_retention_ms(log_folder);
  if (last_ms == 0) {
    return "the first run of a log deletes nothing, and only notes the time";
  }
  if (review::retention_now_ms(log_folder, now_ms) < now_ms) {
    return fmt::format(
        "the clock is {} days ahead of the run before ({} UTC), and a run takes at most {} days "
        "for passed, for a clock may have been set forward",
        (now_ms - last_ms) / kDayMs, format_date(last_ms / 1000),
        review::kRetentionStepMs / kDayMs);
  }
  return "";
}

// What the same command would do without --dry-run.
Result<audit::RetentionReport> look(const Options& options, const std::filesystem::path& log_folder,
                                    const audit::RetentionPolicy& policy, const audit::Held& held,
                                    UnixMillis now_ms) {
  const UnixMillis until_ms =
      options.clock_is_right ? now_ms : review::retention_now_ms(log_folder, now_ms);
  return audit::delete_expired({.directory = log_folder, .now_ms = until_ms, .dry_run = true},
                               policy, held, nullptr);
}

struct Retained {
  audit::RetentionReport report;
  std::string brake;
};

Result<Retained> retain(const Options& options, const Config& config) {
  const SystemClock clock;
  const DataFolder folder(options.data);
  std::error_code error;
  if (!std::filesystem::exists(folder.database(), error)) {
    return fail(Code::not_found,
                "there is no data folder at " + folder.root().string() + "; name it with --data");
  }
  TRY(const auto installation, Installation::open(folder, config, clock));
  const oversight::LegalHolds& holds = installation->oversight_desk().holds;
  const audit::Held held = [&holds](const audit::Record& record) {
    return holds.held(record, record.unix_ms);
  };
  const std::filesystem::path& log_folder = installation->audit_log().directory();
  Retained retained;
  if (!options.clock_is_right) {
    retained.brake = brake(log_folder, clock.unix_ms());
  }
  if (options.dry_run) {
    TRY(retained.report,
        look(options, log_folder, retention_policy(config), held, clock.unix_ms()));
    return retained;
  }
  TRY(const auto index, review::AuditIndex::open(folder.audit_index()));
  TRY(retained.report, review::run_retention({.log = installation->audit_log(),
                                              .index = *index,
                                              .clock = clock,
                                              .policy = retention_policy(config),
                                              .held = held,
                                              .operator_id = fmt::format("local:{}", ::getuid()),
                                              .clock_is_right = options.clock_is_right,
                                              .read_all = true}));
  return retained;
}

int run(const Options& options) {
  const std::optional<Config> config = load_config_or_report(options.config);
  if (!config) {
    return kUsage;
  }
  const auto done = retain(options, *config);
  if (!done) {
    return report(done.error().code == Code::already_exists
                      ? Error{Code::already_exists,
                              done.error().message +
                                  "; a running server deletes what has expired by itself, once a "
                                  "day"}
                      : done.error());
  }
  const audit::RetentionReport& ran = done->report;
  fmt::print("{} {} records in {} files{}; {} expired ones are under a legal hold\n",
             options.dry_run ? "would delete the text of" : "deleted the text of", ran.removed,
             ran.segments_rewritten,
             options.dry_run ? "" : fmt::format(", {} bytes freed", ran.bytes_freed), ran.held);
  if (!done->brake.empty()) {
    fmt::print(stderr, "deepmoat: {}; --clock-is-right goes the whole way\n", done->brake);
  }
  return kSuccess;
}

}  // namespace

void add_audit_retention(CLI::App& audit, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = add_with_data(
      audit, "retention",
      "Delete the text of records whose time is over ([audit] keep_days and the like), without a "
      "running server; hashes and proofs stay",
      options, status, run);
  command->add_flag("--dry-run", options->dry_run,
                    "Say what the same command without this would delete, and delete nothing");
  command->add_flag("--clock-is-right", options->clock_is_right,
                    "Take this machine's time as it is: otherwise a run takes at most two days for "
                    "passed since the run before it, for a clock may have been set forward");
}

}  // namespace deepmoat::cli
