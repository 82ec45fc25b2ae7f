#include "cli/model_control.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <thread>

#include "base/printable.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "cli/local_client.h"

namespace deepmoat::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPath = "/admin/v1/models";
constexpr auto kAskAgain = std::chrono::milliseconds(100);
constexpr double kMib = 1024.0 * 1024.0;

struct Options {
  std::string data = kDataFolderDefault;
  std::string name;
  bool json = false;
  bool no_wait = false;
};

void print_model(const Json& model) {
  fmt::print("{:<24} {:<10} {:<16} {:>9.0f} MiB  {} running, {} waiting\n",
             model.at("name").get<std::string>(), model.at("state").get<std::string>(),
             model.at("version").get<std::string>(),
             static_cast<double>(model.at("memory_bytes").get<std::uint64_t>()) / kMib,
             model.at("running").get<std::uint64_t>(), model.at("waiting").get<std::uint64_t>());
  if (model.at("failure").is_object()) {
    fmt::print("  {}\n", printable(model.at("failure").at("message").get<std::string>()));
  }
}

int show(const Options& options) {
  const auto answer = ask_server(DataFolder(options.data), "GET", kPath, "");
  if (!answer) {
    return report(answer.error());
  }
  if (options.json) {
    fmt::print("{}\n", answer->dump(2));
    return kSuccess;
  }
  for (const Json& model : answer->at("data")) {
    if (options.name.empty() || model.at("name") == options.name) {
      print_model(model);
    }
  }
  const Json& memory = answer->at("memory");
  fmt::print("memory: {:.0f} of {:.0f} MiB\n",
             static_cast<double>(memory.at("used_bytes").get<std::uint64_t>()) / kMib,
             static_cast<double>(memory.at("budget_bytes").get<std::uint64_t>()) / kMib);
  return kSuccess;
}

// Over when nothing changes any more; of an unload, when its last call has ended.
bool settled(const Json& model) {
  return !model.at("changing").get<bool>() && model.at("state") != "draining" &&
         model.at("state") != "loading";
}

Result<Json> wait_for(const Options& options) {
  for (;;) {
    TRY(const Json answer, ask_server(DataFolder(options.data), "GET", kPath, ""));
    Json found;
    for (const Json& model : answer.at("data")) {
      if (model.at("name") == options.name) {
        found = model;
      }
    }
    if (found.is_null()) {
      return fail(Code::not_found, "the model is no longer configured");
    }
    if (settled(found)) {
      return found;
    }
    std::this_thread::sleep_for(kAskAgain);
  }
}

int change(const Options& options, const std::string& verb) {
  auto model = ask_server(DataFolder(options.data), "POST",
                          admin_path({"models", options.name, verb}), "{}");
  if (model && !options.no_wait) {
    model = wait_for(options);
  }
  if (!model) {
    return report(model.error());
  }
  print_model(*model);
  return model->at("failure").is_object() ? kFailure : kSuccess;
}

void add_change(CLI::App& model, const std::string& verb, const std::string& meaning, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = model.add_subcommand(verb, meaning);
  command->add_option("NAME", options->name, "The model")->required();
  command->add_option("--data", options->data, "The data folder")->capture_default_str();
  command->add_flag("--no-wait", options->no_wait, "Do not wait until it is done");
  command->callback([options, verb, &status] { status = change(*options, verb); });
}

}  // namespace

void add_model_control(CLI::App& model, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = model.add_subcommand("status", "What the running server does with models");
  command->add_option("NAME", options->name, "Only this model");
  command->add_option("--data", options->data, "The data folder")->capture_default_str();
  command->add_flag("--json", options->json, "As the admin API says it");
  command->callback([options, &status] { status = show(*options); });
  add_change(model, "load", "Load a model now", status);
  add_change(model, "unload",
             "Free a model's memory; its running calls finish, new ones are refused", status);
  add_change(model, "swap",
             "Load the newest version beside the one that answers, then let it answer; no call is "
             "dropped",
             status);
}

}  // namespace deepmoat::cli
