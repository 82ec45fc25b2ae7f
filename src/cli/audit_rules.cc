// `deepmoat audit policy|hold|content|sign-off`: what auditors set and sign, and the content that
// is kept. Asks the running server through the data folder's socket, with an auditor's key: the
// owner of the folder administers, and may not do this himself.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/secret.h"
#include "cli/audit_reading.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "cli/local_client.h"
#include "cli/prompt.h"

namespace deepmoat::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kKeyVariable = "DEEPMOAT_KEY";
constexpr std::size_t kKeyFileBytesMax = 4096;
constexpr std::int64_t kSecondMs = 1000;
constexpr std::string_view kPersonPrefix = "person:";

// The fields of requests, and the options that fill them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kFieldOptions{
    {{"content", "--content"},
     {"data_class", "--class"},
     {"figures_sha256", "--figures"},
     {"keep_days", "--days"},
     {"key_id", "--key"},
     {"model", "--model"},
     {"month", "--month"},
     {"note", "--note"},
     {"operator_id", "--operator"},
     {"reason", "--reason"},
     {"sample_rate", "--share"},
     {"since", "--since"},
     {"tenant", "--tenant"},
     {"until", "--until"}}};

struct Options {
  std::string data = kDataFolderDefault;
  std::string key_file;
  std::string tenant;
  std::string model;
  std::string data_class;
  double sample_rate = 1;
  std::int64_t keep_days = 0;
  std::string key_id;
  std::string operator_id;
  std::string since;
  std::string until;
  std::string reason;
  std::string id;  // of a policy, a hold or a request
  std::string digest;
  std::string month;
  std::string figures;
  std::string note;
  bool json = false;
};

// Never an argument: those are seen by everybody on the machine.
Result<Secret> auditors_key(const Options& options) {
  if (!options.key_file.empty()) {
    TRY(std::string text, read_file(options.key_file, kKeyFileBytesMax));
    text.erase(text.find_last_not_of(" \t\r\n") + 1);
    return Secret(std::move(text));
  }
  if (const char* const given = std::getenv(kKeyVariable); given != nullptr && *given != '\0') {
    return Secret::copy_of(given);
  }
  return ask("Auditor's key", "--key-file", Echo::off);
}

// A server has the lock of its folder; else there is nobody to ask.
Result<> check_served(const DataFolder& folder) {
  std::error_code error;
  const bool held = std::filesystem::exists(folder.lock(), error) && !lock_file(folder.lock());
  if (!held) {
    return fail(Code::unavailable,
                "no server runs on the data folder " + folder.root().string() +
                    "; start it (deepmoat serve), or name another folder with --data");
  }
  return {};
}

// A message of the server begins with the field at fault; whoever wrote a command knows options.
Error named_by_option(Error error) {
  for (const auto& [field, option] : kFieldOptions) {
    if (error.message.starts_with(fmt::format("{}: ", field))) {
      error.message.replace(0, field.size(), option);
      break;
    }
  }
  return error;
}

Result<Json> ask_as_auditor(const Options& options, const std::string& method,
                            const std::string& path, const Json& body = nullptr) {
  const DataFolder folder(options.data);
  CHECK_OK(check_served(folder));
  TRY(const Secret key, auditors_key(options));
  auto answer = ask_server(folder, method, path, body.is_null() ? "" : body.dump(), key.reveal());
  if (!answer) {
    return std::unexpected(named_by_option(std::move(answer).error()));
  }
  return answer;
}

void add_text(Json& body, const char* name, const std::string& text) {
  if (!text.empty()) {
    body[name] = text;
  }
}

std::string or_all(const std::string& text) {
  return text.empty() ? "(all)" : text;
}

Result<> add_policy(const Options& options) {
  Json body = {{"sample_rate", options.sample_rate},
               {"keep_days", options.keep_days},
               {"reason", options.reason}};
  add_text(body, "tenant", options.tenant);
  add_text(body, "model", options.model);
  add_text(body, "data_class", options.data_class);
  TRY(const Json added,
      ask_as_auditor(options, "POST", admin_path({"audit", "content-policies"}), body));
  fmt::print("{} is in force.\n", text_of(added, "id"));
  return {};
}

Result<> list_policies(const Options& options) {
  TRY(const Json answer, ask_as_auditor(options, "GET", admin_path({"audit", "content-policies"})));
  const Json& policies = answer.at("data");
  if (options.json) {
    print_json(policies);
    return {};
  }
  fmt::print("{:<29} {:<9} {:<12} {:<16} {:<11} {:>8} {:>5}  {}\n", "ID", "STATE", "TENANT",
             "MODEL", "CLASS", "SHARE", "DAYS", "REASON");
  for (const Json& one : policies) {
    fmt::print("{:<29} {:<9} {:<12} {:<16} {:<11} {:>8} {:>5}  {}\n", text_of(one, "id"),
               text_of(one, "state"), or_all(text_of(one, "tenant")), or_all(text_of(one, "model")),
               or_all(text_of(one, "data_class")), one.value("sample_rate", 0.0),
               one.value("keep_days", std::int64_t{0}), text_of(one, "reason"));
  }
  return {};
}

Result<> remove_policy(const Options& options) {
  TRY(const Json removed,
      ask_as_auditor(options, "POST",
                     admin_path({"audit", "content-policies", options.id, "remove"}),
                     Json::object()));
  fmt::print("{} is removed. What it has kept stays until its time is over.\n",
             text_of(removed, "id"));
  return {};
}

// The name that records have of a client, and, without the prefix, of a person.
std::string recorded_name(const std::string& operator_id) {
  return operator_id.starts_with(kPersonPrefix) ? operator_id.substr(kPersonPrefix.size())
                                                : operator_id;
}

Result<> place_hold(const Options& options) {
  if (options.tenant.empty() && options.key_id.empty() && options.operator_id.empty() &&
      options.since.empty() && options.until.empty()) {
    return fail(Code::invalid_argument,
                "say what is held: at least one of --tenant, --key, --operator, --since and "
                "--until");
  }
  TRY(const Span span, span_of(options.since, options.until));
  Json body = {{"reason", options.reason}};
  add_text(body, "tenant", options.tenant);
  add_text(body, "key_id", options.key_id);
  add_text(body, "operator_id", recorded_name(options.operator_id));
  // A hold has seconds: those in which it begins and ends are held whole.
  if (span.since_ms) {
    body["since"] = *span.since_ms / kSecondMs;
  }
  if (span.until_ms) {
    body["until"] = (*span.until_ms + kSecondMs - 1) / kSecondMs;
  }
  TRY(const Json placed, ask_as_auditor(options, "POST", admin_path({"audit", "holds"}), body));
  fmt::print("{} is in force: nothing that it covers is deleted.\n", text_of(placed, "id"));
  return {};
}

Result<> release_hold(const Options& options) {
  TRY(const Json released,
      ask_as_auditor(options, "POST", admin_path({"audit", "holds", options.id, "release"}),
                     Json::object()));
  fmt::print("{} is released.\n", text_of(released, "id"));
  return {};
}

std::string date_or_dash(const Json& json, const char* field) {
  const std::int64_t time_s = json.value(field, std::int64_t{0});
  return time_s == 0 ? "-" : format_date(time_s);
}

Result<> list_holds(const Options& options) {
  TRY(const Json answer, ask_as_auditor(options, "GET", admin_path({"audit", "holds"})));
  const Json& holds = answer.at("data");
  if (options.json) {
    print_json(holds);
    return {};
  }
  fmt::print("{:<29} {:<9} {:<12} {:<29} {:<16} {:<16} {:<16}  {}\n", "ID", "STATE", "TENANT",
             "KEY", "CLIENT", "SINCE (UTC)", "UNTIL (UTC)", "REASON");
  for (const Json& one : holds) {
    fmt::print("{:<29} {:<9} {:<12} {:<29} {:<16} {:<16} {:<16}  {}\n", text_of(one, "id"),
               text_of(one, "state"), or_all(text_of(one, "tenant")),
               or_all(text_of(one, "key_id")), or_all(text_of(one, "operator_id")),
               date_or_dash(one, "since"), date_or_dash(one, "until"), text_of(one, "reason"));
  }
  return {};
}

Result<> read_content(const Options& options) {
  Json body = {{"reason", options.reason}};
  add_text(body, "content", options.digest);
  TRY(const Json found,
      ask_as_auditor(options, "POST", admin_path({"audit", "content", options.id}), body));
  for (const Json& one : found.at("data")) {
    print_json(one);
  }
  if (found.value("has_more", false)) {
    fmt::print(stderr,
               "deepmoat: more calls have this request id; name one with --content and the digest "
               "in its audit record\n");
  }
  return {};
}

Result<> sign_off(const Options& options) {
  const Json body = {{"figures_sha256", options.figures}, {"note", options.note}};
  TRY(const Json signed_off,
      ask_as_auditor(options, "POST", admin_path({"audit", "reports", options.month, "sign-off"}),
                     body));
  fmt::print("{} has signed off the report of {}.\n", text_of(signed_off, "reviewer"),
             text_of(signed_off, "month"));
  return {};
}

// `run` with the options of a command of its own.
CLI::App* add(CLI::App& group, const char* name, const char* help,
              const std::shared_ptr<Options>& options, int& status,
              Result<> (*run)(const Options&)) {
  CLI::App* command = group.add_subcommand(name, help);
  command->add_option("--data", options->data, "The data folder of the running server")
      ->capture_default_str();
  command->add_option("--key-file", options->key_file,
                      "File with the key of an auditor (role auditor); without it the variable "
                      "DEEPMOAT_KEY, or a question on the terminal. The owner of the data folder "
                      "cannot do this without such a key");
  command->callback([options, run, &status] {
    const Result<> done = run(*options);
    status = done ? kSuccess : report(done.error());
  });
  return command;
}

void add_text_option(CLI::App& command, const char* name, std::string& value, const char* help) {
  command.add_option(name, value, help)->check(not_empty());
}

void add_reason(CLI::App& command, Options& options) {
  command.add_option("--reason", options.reason, "Why, for the audit log; 5 to 200 characters")
      ->required();
}

void add_policy_commands(CLI::App& audit, const std::shared_ptr<Options>& options, int& status) {
  CLI::App* group = audit.add_subcommand(
      "policy", "Which calls' content is kept, sealed; without a policy none is");
  group->require_subcommand(1);
  CLI::App* command =
      add(*group, "add", "Keep the content of calls that fit", options, status, add_policy);
  add_text_option(*command, "--tenant", options->tenant,
                  "Of this tenant; default: all that the key reaches");
  add_text_option(*command, "--model", options->model, "Of this model; default: all");
  add_text_option(*command, "--class", options->data_class,
                  "With data of exactly this class: public, internal, sensitive, restricted; "
                  "default: all");
  command->add_option("--share", options->sample_rate, "Of so many of them: more than 0, up to 1")
      ->capture_default_str();
  command->add_option("--days", options->keep_days, "For so many days, 1 to 3650")->required();
  add_reason(*command, *options);
  add(*group, "list", "List the policies", options, status, list_policies)
      ->add_flag("--json", options->json, "Print JSON");
  add(*group, "remove", "Keep nothing more because of this policy", options, status, remove_policy)
      ->add_option("ID", options->id, "pol_...")
      ->required();
}

void add_hold_commands(CLI::App& audit, const std::shared_ptr<Options>& options, int& status) {
  CLI::App* group = audit.add_subcommand("hold", "What may not be deleted, whatever a policy says");
  group->require_subcommand(1);
  CLI::App* command = add(*group, "place", "Hold records and content; name at least one of them",
                          options, status, place_hold);
  add_text_option(*command, "--tenant", options->tenant,
                  "Of this tenant; default: all that the key reaches");
  add_text_option(*command, "--key", options->key_id, "With or about this key, by its id");
  add_text_option(*command, "--operator", options->operator_id,
                  "By this client; a person is person:NAME, and a client of that name is held too");
  add_text_option(*command, "--since", options->since,
                  "From this time on: 2026-11-30, 2026-11-30T12:00:00Z, 7d, 24h");
  add_text_option(*command, "--until", options->until, "Before this time, likewise");
  add_reason(*command, *options);
  add(*group, "list", "List the holds, released ones too", options, status, list_holds)
      ->add_flag("--json", options->json, "Print JSON");
  add(*group, "release", "End a hold", options, status, release_hold)
      ->add_option("ID", options->id, "hld_...")
      ->required();
}

}  // namespace

void add_audit_rules(CLI::App& audit, int& status) {
  const auto options = std::make_shared<Options>();
  add_policy_commands(audit, options, status);
  add_hold_commands(audit, options, status);
  CLI::App* command =
      add(audit, "content",
          "Print what was asked and answered, where a policy kept it; that you did is on record "
          "first",
          options, status, read_content);
  command->add_option("REQUEST_ID", options->id, "The request's id")->required();
  add_text_option(*command, "--content", options->digest,
                  "The digest in the call's audit record, where several have the same id");
  add_reason(*command, *options);
  command = add(audit, "sign-off", "Sign off a monthly report that you have read", options, status,
                sign_off);
  command->add_option("--month", options->month, "The month, YYYY-MM")->required();
  command
      ->add_option("--figures", options->figures,
                   "The digest of its figures, which the report shows: what you sign")
      ->required();
  command->add_option("--note", options->note, "What you found and what follows from it")
      ->required();
}

}  // namespace deepmoat::cli
