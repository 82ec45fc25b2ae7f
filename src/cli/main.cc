// deepmoat: the program. Subcommands are in the files beside this one.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "cli/command.h"

int main(int argc, char** argv) {
  using namespace deepmoat::cli;
  CLI::App app{
      "Deepmoat: a private AI server. Serves models behind keys that you issue, and proves who "
      "asked what."};
  app.set_version_flag("--version", "deepmoat " DEEPMOAT_VERSION);
  app.require_subcommand(1);
  app.fallthrough(false);
  int status = kSuccess;
  add_serve(app, status);
  add_key(app, status);
  add_audit(app, status);
  add_config(app, status);
  add_doctor(app, status);
  add_worker(app, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "deepmoat: {}\n", error.what());
    return kFailure;
  }
  return status;
}
