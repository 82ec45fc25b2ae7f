// Where commands about leaked keys, incidents, webhooks and people are carried out: by the running
// server, through the data folder's socket, or in this process when no server runs. Both know the
// admin interface's routes.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/config.h"
#include "base/result.h"
#include "cli/command.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

using Json = nlohmann::ordered_json;

class AdminDesk {
 public:
  // Code::not_found for a folder that holds nothing yet: its name is a typing error.
  static Result<std::unique_ptr<AdminDesk>> open(const DataFolder& folder, const Config& config,
                                                 const Clock& clock);
  virtual ~AdminDesk() = default;

  // Asks for a route of the admin interface, its path by admin_path() where it holds an argument;
  // `body` as the route takes it.
  virtual Result<Json> ask(const std::string& method, const std::string& path,
                           const Json& body) = 0;
  // A server does it, so what is queued is sent now.
  [[nodiscard]] virtual bool served() const = 0;
};

// Runs one command at the desk of the folder `data`. Returns its exit status; an error is printed.
[[nodiscard]] int run_at_admin_desk(const std::string& data, const std::string& config,
                                    const std::function<Result<>(AdminDesk&)>& action);

// A subcommand that runs `action` at the desk (command.h says what else it has).
template <class Options>
CLI::App* add_desk_command(CLI::App& group, const char* name, const char* help,
                           const std::shared_ptr<Options>& options, int& status,
                           std::function<Result<>(AdminDesk&, const Options&)> action) {
  return add_with_data(
      group, name, help, options, status, [action = std::move(action)](const Options& given) {
        return run_at_admin_desk(given.data, given.config,
                                 [&](AdminDesk& desk) { return action(desk, given); });
      });
}

}  // namespace deepmoat::cli
