// `deepmoat worker ...`: becomes deepmoat-worker, which is a program of its own so that neither
// it nor the gateway links what the other holds.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "cli/command.h"

namespace deepmoat::cli {

void add_worker(CLI::App& app, int& status) {
  CLI::App* command =
      app.add_subcommand("worker", "Run one model's worker process (the gateway does this itself)");
  command->prefix_command();
  command->set_help_flag();
  command->callback([command, &status] {
    std::vector<std::string> arguments = command->remaining();
    const std::string program = sibling_program("deepmoat-worker");
    std::vector<char*> pointers = {const_cast<char*>(program.c_str())};
    for (std::string& argument : arguments) {
      pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    ::execv(program.c_str(), pointers.data());
    status = report({Code::io, "cannot run " + program});
  });
}

}  // namespace deepmoat::cli
