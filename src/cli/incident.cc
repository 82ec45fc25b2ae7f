// `deepmoat incident list|show|verify`
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>

#include "base/file.h"
#include "cli/admin_desk.h"
#include "cli/command.h"
#include "cli/local_client.h"
#include "crypto/signature.h"
#include "incident/folder.h"
#include "incident/record.h"

namespace deepmoat::cli {

namespace {

constexpr std::size_t kPemBytesMax = 16 * 1024;

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string id;
  std::string file;
  std::string public_key;
  bool json = false;
};

void print_table(const Json& incidents) {
  fmt::print("{:<29} {:<25} {:<29} {:<20} {:>8} {}\n", "ID", "RECORDED", "KEY", "CLIENT", "CALLS",
             "REASON");
  for (const Json& one : incidents) {
    if (one.contains("fault")) {
      fmt::print("{:<29} FAULT: {}\n", text_of(one, "id"), text_of(one, "fault"));
      continue;
    }
    fmt::print("{:<29} {:<25} {:<29} {:<20} {:>8} {}\n", text_of(one, "id"),
               text_of(one, "recorded"), text_of(one, "key"), text_of(one, "client_id"),
               one.value("calls", std::uint64_t{0}), text_of(one, "reason"));
  }
}

Result<> list(AdminDesk& desk, const Options& options) {
  TRY(const Json answer, desk.ask("GET", "/admin/v1/incidents", nullptr));
  const Json& incidents = answer.at("data");
  if (options.json) {
    fmt::print("{}\n", incidents.dump(2));
  } else {
    print_table(incidents);
  }
  const bool faulty = std::ranges::any_of(
      incidents, [](const Json& incident) { return incident.contains("fault"); });
  return faulty ? fail(Code::corrupt, "some records are not as they were written, see above")
                : Result<>();
}

// Indented for a person; with --json the signed file itself, byte for byte.
Result<> show(AdminDesk& desk, const Options& options) {
  TRY(const Json file, desk.ask("GET", admin_path({"incidents", options.id}), nullptr));
  fmt::print("{}\n", options.json ? file.dump(-1, ' ', false, Json::error_handler_t::replace)
                                  : file.at("incident").dump(2));
  return {};
}

// Needs the file and the public key, and nothing else.
Result<> verify(const Options& options) {
  const std::filesystem::path pem_file =
      options.public_key.empty()
          ? std::filesystem::path(options.file).parent_path() / incident::kPublicKeyFile
          : std::filesystem::path(options.public_key);
  auto pem = read_file(pem_file, kPemBytesMax);
  if (!pem) {
    return fail(pem.error().code,
                pem.error().message +
                    "; give --public-key FILE (deepmoat key leak --public-key prints it)");
  }
  TRY(const std::string public_key, crypto::public_key_from_pem(*pem));
  TRY(const std::string text, read_file(options.file, incident::kIncidentBytesMax));
  TRY(const nlohmann::json record, incident::verify(text, public_key));
  fmt::print("{} is intact: incident {}, recorded {}, signed with key {} of {}\n", options.file,
             record.value("id", ""), record.value("recorded", ""),
             crypto::public_key_id(public_key), pem_file.string());
  return {};
}

using Action = std::function<Result<>(AdminDesk&, const Options&)>;

}  // namespace

void add_incident(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("incident", "Signed records of leaked keys");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, const Action& action) {
    CLI::App* added = add_desk_command<Options>(*command, name, help, options, status, action);
    added->add_flag("--json", options->json, "Print JSON");
    return added;
  };
  add("list", "List the incidents", list);
  add("show", "Show one incident; with --json the signed file as it is", show)
      ->add_option("ID", options->id, "inc_...")
      ->required();

  CLI::App* verify_command = command->add_subcommand(
      "verify", "Check a record's signature, anywhere; exit status 0: intact, 1: not");
  verify_command->add_option("FILE", options->file, "The record")->required();
  verify_command->add_option("--public-key", options->public_key,
                             "The public key (PEM); default: public-key.pem beside the record");
  verify_command->callback([options, &status] {
    const auto done = verify(*options);
    status = done ? kSuccess : report(done.error());
  });
}

}  // namespace deepmoat::cli
