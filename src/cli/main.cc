// deepmoat: the program. Subcommands are in the files beside this one.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "cli/command.h"
#include "cli/model_control.h"

namespace cli = deepmoat::cli;

int main(int argc, char** argv) {
  CLI::App app{
      "Deepmoat: a private AI server. Serves models behind keys that you issue, and proves who "
      "asked what."};
  app.name("deepmoat");
  app.set_version_flag("--version", "deepmoat " DEEPMOAT_VERSION);
  app.require_subcommand(1);
  app.fallthrough(false);
  int status = cli::kSuccess;
  cli::add_serve(app, status);
  CLI::App& key = *cli::add_key(app, status);
  cli::add_key_leak(key, status);
  cli::add_key_scan(key, status);
  cli::add_tenant(app, status);
  cli::add_person(app, status);
  cli::add_totp(app, status);
  cli::add_incident(app, status);
  cli::add_webhook(app, status);
  cli::add_client_certificate(app, status);
  cli::add_approval(app, status);
  cli::add_audit(app, status);
  cli::add_custody(app, status);
  cli::add_config(app, status);
  cli::add_doctor(app, status);
  cli::add_worker(app, status);
  cli::add_model_control(*cli::add_model(app, status), status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? cli::kSuccess : cli::kUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "deepmoat: {}\n", error.what());
    return cli::kFailure;
  }
  return status;
}
