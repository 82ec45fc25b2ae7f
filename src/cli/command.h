// One subcommand a file: each adds itself to the command line and runs when it was named.
#pragma once

#include <CLI/CLI.hpp>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/config.h"
#include "base/result.h"

namespace deepmoat::cli {

// Exit statuses of the program.
inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;  // the command did not do it, or the check did not pass
inline constexpr int kUsage = 2;    // the command line or the configuration is wrong

// Each sets `status` when its command ran.
void add_serve(CLI::App& app, int& status);
// Returns `deepmoat key`, for subcommands of it in other files.
CLI::App* add_key(CLI::App& app, int& status);
void add_key_leak(CLI::App& key, int& status);
void add_key_scan(CLI::App& key, int& status);
void add_incident(CLI::App& app, int& status);
void add_tenant(CLI::App& app, int& status);
void add_totp(CLI::App& app, int& status);
void add_person(CLI::App& app, int& status);
void add_webhook(CLI::App& app, int& status);
void add_client_certificate(CLI::App& app, int& status);
void add_approval(CLI::App& app, int& status);
void add_audit(CLI::App& app, int& status);
void add_audit_query(CLI::App& audit, int& status);
void add_audit_rules(CLI::App& audit, int& status);
void add_audit_retention(CLI::App& audit, int& status);
void add_audit_evidence(CLI::App& audit, int& status);
void add_audit_check(CLI::App& audit, int& status);
void add_custody(CLI::App& app, int& status);
void add_config(CLI::App& app, int& status);
void add_doctor(CLI::App& app, int& status);
void add_worker(CLI::App& app, int& status);
// Returns `deepmoat model`, for subcommands of it in other files.
CLI::App* add_model(CLI::App& app, int& status);

// A subcommand of a group whose commands share `options`, with --data and --config; `run` makes its
// exit status.
template <class Options, class Run>
CLI::App* add_with_data(CLI::App& group, const char* name, const char* help,
                        const std::shared_ptr<Options>& options, int& status, Run run) {
  CLI::App* added = group.add_subcommand(name, help);
  added->add_option("--data", options->data, "The data folder")->capture_default_str();
  added->add_option("--config", options->config, "The configuration file");
  added->callback([options, run = std::move(run), &status] { status = run(*options); });
  return added;
}

// A text of an answer, for a terminal (base/printable.h); empty when there is none.
[[nodiscard]] std::string text_of(const nlohmann::ordered_json& json, const char* field);

// With everything but printable ASCII escaped: a terminal must not obey what somebody wrote.
void print_json(const nlohmann::ordered_json& json);

// Prints "deepmoat: <message>" to standard error and returns kFailure.
int report(const Error& error);

// Loads the configuration; prints every problem. Empty: do not go on.
[[nodiscard]] std::optional<Config> load_config_or_report(const std::string& path);

// "90s", "15m", "12h", "30d" in seconds.
[[nodiscard]] Result<std::int64_t> parse_duration_s(const std::string& text);

// "2026-11-18 07:06", in UTC.
[[nodiscard]] std::string format_date(std::int64_t unix_s);

// The path of a program that lies beside this one.
[[nodiscard]] std::string sibling_program(const std::string& name);

}  // namespace deepmoat::cli
