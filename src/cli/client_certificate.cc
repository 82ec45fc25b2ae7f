// `deepmoat client-certificate issue|list|revoke`
#include <fcntl.h>
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <memory>

#include "base/file.h"
#include "base/printable.h"
#include "cli/admin_desk.h"
#include "cli/command.h"
#include "cli/local_client.h"
#include "identity/api_key.h"

namespace deepmoat::cli {

namespace {

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string client_id;
  std::string tenant = "default";
  std::string out = ".";
  std::string fingerprint;
  std::int64_t days = 365;
  bool json = false;
};

constexpr const char* kPath = "/admin/v1/client-certificates";

// The two files, made before the certificate is: what cannot be written is known before there is
// a certificate whose private key is lost, and nothing that exists is overwritten.
struct Files {
  std::filesystem::path certificate;
  std::filesystem::path key;

  static Result<Files> reserve(const Options& options) {
    // The service checks the name too, but later.
    CHECK_OK(identity::check_name("client_id", options.client_id));
    const std::filesystem::path folder(options.out);
    Files files{.certificate = folder / (options.client_id + ".crt"),
                .key = folder / (options.client_id + ".key")};
    CHECK_OK(create(files.certificate, 0644));
    if (const auto made = create(files.key, 0600); !made) {
      remove(files.certificate);
      return std::unexpected(made.error());
    }
    return files;
  }

  Result<> write(const Json& issued) const {
    CHECK_OK(write_file_atomic(key, issued.at("private_key").get<std::string>(), 0600));
    return write_file_atomic(certificate, issued.at("certificate").get<std::string>(), 0644);
  }

  void give_up() const {
    remove(certificate);
    remove(key);
  }

 private:
  static Result<> create(const std::filesystem::path& path, mode_t mode) {
    const auto file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (file) {
      return {};
    }
    return fail(file.error().code, file.error().message +
                                       "; nothing was issued. --out names a folder that can be "
                                       "written and holds no such file");
  }
  static void remove(const std::filesystem::path& path) {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

Result<Json> ask_to_revoke(AdminDesk& desk, const std::string& fingerprint) {
  return desk.ask("POST", admin_path({"client-certificates", fingerprint, "revoke"}),
                  Json::object());
}

Result<> issue(AdminDesk& desk, const Options& options) {
  TRY(const Files files, Files::reserve(options));
  const auto issued = desk.ask(
      "POST", kPath,
      Json{{"client_id", options.client_id}, {"tenant", options.tenant}, {"days", options.days}});
  if (!issued) {
    files.give_up();
    return std::unexpected(issued.error());
  }
  const std::string fingerprint = text_of(*issued, "fingerprint");
  if (const auto written = files.write(*issued); !written) {
    files.give_up();
    const auto revoked = ask_to_revoke(desk, fingerprint);
    return fail(written.error().code,
                fmt::format("{}; certificate {} {}", written.error().message, fingerprint,
                            revoked ? "is revoked again"
                                    : "could not be revoked, so revoke it: deepmoat "
                                      "client-certificate revoke " +
                                          fingerprint + " (" + revoked.error().message + ")"));
  }
  fmt::print("{}\n{}\n", printable(files.certificate.string()), printable(files.key.string()));
  fmt::print(stderr, "Certificate {} of {}. Its private key is nowhere but in this file.\n",
             fingerprint, options.client_id);
  return {};
}

Result<> list(AdminDesk& desk, const Options& options) {
  TRY(const Json answer, desk.ask("GET", kPath, nullptr));
  const Json& rows = answer.at("data");
  if (options.json) {
    fmt::print("{}\n", rows.dump(2));
    return {};
  }
  fmt::print("{:<8} {:<12} {:<20} {}\n", "STATE", "TENANT", "CLIENT", "FINGERPRINT");
  for (const Json& row : rows) {
    fmt::print("{:<8} {:<12} {:<20} {}\n", text_of(row, "state"), text_of(row, "tenant"),
               text_of(row, "client_id"), text_of(row, "fingerprint"));
  }
  return {};
}

Result<> revoke(AdminDesk& desk, const Options& options) {
  TRY([[maybe_unused]] const Json done, ask_to_revoke(desk, options.fingerprint));
  fmt::print("{} is revoked.\n", printable(options.fingerprint));
  return {};
}

using Action = std::function<Result<>(AdminDesk&, const Options&)>;

}  // namespace

void add_client_certificate(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "client-certificate",
      "TLS certificates of integrations, with which they fetch a leaked key's successor");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, const Action& action) {
    return add_desk_command<Options>(*command, name, help, options, status, action);
  };
  CLI::App* issue_command =
      add("issue", "Make one: CLIENT.crt and CLIENT.key, which must not exist yet", issue);
  issue_command
      ->add_option("--client-id", options->client_id, "Whom it is for, as its keys have it")
      ->required();
  issue_command->add_option("--tenant", options->tenant, "The client's tenant")
      ->capture_default_str();
  issue_command->add_option("--days", options->days, "Until it ends; 825 at most")
      ->capture_default_str();
  issue_command->add_option("--out", options->out, "The folder for the two files")
      ->capture_default_str();
  add("list", "List them", list)->add_flag("--json", options->json, "Print JSON");
  add("revoke", "Give nothing out for it from now on", revoke)
      ->add_option("FINGERPRINT", options->fingerprint, "As `list` shows it")
      ->required();
}

}  // namespace deepmoat::cli
