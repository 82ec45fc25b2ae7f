// `deepmoat key scan`: finds keys that lie in the open, says whether they still open anything, and
// can revoke those that do.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <unordered_map>

#include "cli/command.h"
#include "cli/key_desk.h"
#include "cli/leak_search.h"

namespace deepmoat::cli {

namespace {

constexpr int kFound = 1;   // exit status: keys were found
constexpr int kBroken = 2;  // none was found, and something could not be looked at
constexpr std::size_t kKnownMax = 100'000;

struct Options {
  std::vector<std::string> paths;
  std::string data;
  std::string config;
  std::string reason;
  bool json = false;
  bool revoke = false;
  bool no_history = false;
};

// What the data folder says of keys, each asked once.
class Verdicts {
 public:
  Verdicts(std::unique_ptr<KeyDesk> desk, const Options& options)
      : desk_(std::move(desk)), options_(options) {}

  // {"key_id","state","client_id","tenant"}, with "revoked_now"; {"state":"unknown"} for a key of
  // another installation; {} without a data folder.
  Result<Json> of(const std::string& key) {
    if (!desk_) {
      return Json::object();
    }
    const auto known = known_.find(key);
    if (known != known_.end()) {
      return known->second;
    }
    TRY(Json verdict, ask(key));
    if (known_.size() < kKnownMax) {
      known_.emplace(key, verdict);
    }
    return verdict;
  }

 private:
  Result<Json> ask(const std::string& key) {
    auto shown = desk_->show(key);
    if (!shown && shown.error().code == Code::not_found) {
      return Json{{"state", "unknown"}};
    }
    TRY(const Json info, std::move(shown));
    Json verdict = {{"key_id", info.value("id", "")},
                    {"state", info.value("state", "")},
                    {"client_id", info.value("client_id", "")},
                    {"tenant", info.value("tenant", "")}};
    if (options_.revoke && verdict["state"] == "active") {
      TRY(const Json revoked, desk_->revoke(verdict["key_id"], options_.reason));
      verdict["state"] = revoked.value("state", "");
      verdict["revoked_now"] = true;
    }
    return verdict;
  }

  std::unique_ptr<KeyDesk> desk_;
  const Options& options_;
  std::unordered_map<std::string, Json> known_;
};

// A path may hold anything; a terminal must not obey it, and a line is a line.
std::string printable(const std::string& place) {
  std::string text;
  for (const char c : place) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < ' ' || byte == 0x7f ? '?' : c;
  }
  return text;
}

void print_line(const std::string& place, const identity::KeySighting& seen, const Json& verdict) {
  std::string more;
  if (verdict.contains("state")) {
    more = "  " + verdict["state"].get<std::string>();
    if (verdict.contains("key_id")) {
      more += fmt::format("  {}  {}", verdict["key_id"].get<std::string>(),
                          verdict["client_id"].get<std::string>());
    }
    more += verdict.contains("revoked_now") ? "  (revoked now)" : "";
  }
  fmt::print("{}:{}: {}{}\n", printable(place), seen.line, identity::masked_key(seen.key), more);
}

void print_json(const std::string& place, const identity::KeySighting& seen, const Json& verdict) {
  Json line = {{"place", place},
               {"line", seen.line},
               {"offset", seen.offset},
               {"key", identity::masked_key(seen.key)},
               {"kind", identity::kind_name(seen.kind)}};
  line.update(verdict);
  fmt::print("{}\n", line.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<std::unique_ptr<KeyDesk>> open_desk(const Options& options, const Clock& clock) {
  if (options.revoke && options.data.empty()) {
    return fail(Code::invalid_argument, "--revoke needs --data: whose keys are they?");
  }
  if (options.revoke && options.reason.empty()) {
    return fail(Code::invalid_argument, "--revoke needs --reason; it goes into the audit log");
  }
  if (options.data.empty()) {
    return std::unique_ptr<KeyDesk>();
  }
  const auto config = load_config_or_report(options.config);
  if (!config) {
    return fail(Code::invalid_argument, "the configuration has problems");
  }
  return KeyDesk::open(DataFolder(options.data), *config, clock, false);
}

int scan(const Options& options) {
  const SystemClock clock;
  auto desk = open_desk(options, clock);
  if (!desk) {
    report(desk.error());
    return kBroken;
  }
  Verdicts verdicts(*std::move(desk), options);
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  std::uint64_t found = 0;
  std::uint64_t problems = 0;
  const auto on_problem = [&](const Error& error) {
    ++problems;
    report(error);
  };
  LeakSearch search(
      [&](const std::string& place, const identity::KeySighting& seen) {
        ++found;
        auto verdict = verdicts.of(std::string(seen.key));
        if (!verdict) {
          on_problem(verdict.error());
          verdict = Json{{"state", "not known: the data folder did not answer"}};
        }
        (options.json ? print_json : print_line)(place, seen, *verdict);
      },
      on_problem,
      [&](const LeakSearch& so_far) {
        if (terminal) {
          fmt::print(stderr, "\r{} files, {} MB, {} keys", so_far.files(),
                     so_far.bytes() / 1'000'000, found);
        }
      });
  search.set_history(!options.no_history);
  for (const std::string& path : options.paths) {
    search.search(path);
  }
  fmt::print(stderr, "{}{} keys found in {} files, {} MB{}\n", terminal ? "\r" : "", found,
             search.files(), search.bytes() / 1'000'000,
             problems == 0 ? "" : fmt::format("; {} places could not be read", problems));
  return found > 0 ? kFound : (problems > 0 ? kBroken : kSuccess);
}

}  // namespace

void add_key_scan(CLI::App& key, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = key.add_subcommand(
      "scan",
      "Find leaked keys in files, folders, git history or standard input (-); exit status 0: none, "
      "1: found, 2: something could not be read");
  command->add_option("PATH", options->paths, "Files, folders, git repositories, or -")->required();
  command->add_option("--data", options->data,
                      "The data folder: says which key each one is and whether it still works");
  command->add_option("--config", options->config, "The configuration file");
  command->add_flag("--json", options->json, "One JSON object a line");
  command->add_flag("--no-history", options->no_history, "Leave the history of git out");
  command->add_flag("--revoke", options->revoke, "Revoke those that still work; needs --data");
  command->add_option("--reason", options->reason, "With --revoke: why");
  command->callback([options, &status] { status = scan(*options); });
}

}  // namespace deepmoat::cli
