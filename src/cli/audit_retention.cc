// `deepmoat audit retention`: what retention would delete, and a run by hand. A server does it by
// itself once a day (retention_keeper.h).
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

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

Result<audit::RetentionReport> look(Installation& installation,
                                    const audit::RetentionPolicy& policy, const audit::Held& held,
                                    const Clock& clock) {
  const audit::RetentionOptions options{.directory = installation.audit_log().directory(),
                                        .now_ms = clock.unix_ms(),
                                        .dry_run = true};
  return audit::delete_expired(options, policy, held, nullptr);
}

Result<audit::RetentionReport> retain(const Options& options, const Config& config) {
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
  if (options.dry_run) {
    return look(*installation, retention_policy(config), held, clock);
  }
  TRY(const auto index, review::AuditIndex::open(folder.audit_index()));
  return review::run_retention({.log = installation->audit_log(),
                                .index = *index,
                                .clock = clock,
                                .policy = retention_policy(config),
                                .held = held,
                                .operator_id = fmt::format("local:{}", ::getuid()),
                                .clock_is_right = options.clock_is_right,
                                .read_all = true});
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
  fmt::print("{} {} records in {} files{}; {} expired ones are under a legal hold\n",
             options.dry_run ? "would delete the text of" : "deleted the text of", done->removed,
             done->segments_rewritten,
             options.dry_run ? "" : fmt::format(", {} bytes freed", done->bytes_freed), done->held);
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
  command->add_flag("--dry-run", options->dry_run, "Say what would go, and delete nothing");
  command->add_flag("--clock-is-right", options->clock_is_right,
                    "Take this machine's time as it is: otherwise a run takes at most two days for "
                    "passed since the run before it, for a clock may have been set forward");
}

}  // namespace deepmoat::cli
