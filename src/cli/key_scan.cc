// `deepmoat key scan`: finds keys that lie in the open, says whether they still open anything, and
// can revoke those that do.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/printable.h"
#include "cli/command.h"
#include "cli/key_desk.h"
#include "cli/leak_search.h"

namespace deepmoat::cli {

namespace {

constexpr int kFound = 1;   // exit status: keys were found
constexpr int kBroken = 2;  // none was found, and something could not be looked at
constexpr std::size_t kKnownMax = 100'000;
constexpr std::size_t kAskedTogether = 1000;  // places

struct Options {
  std::vector<std::string> paths;
  std::string data;
  std::string config;
  std::string reason;
  bool json = false;
  bool revoke = false;
  bool no_history = false;
};

// One key in one place.
struct Sighting {
  std::string place;
  std::uint64_t offset = 0;
  std::uint64_t line = 0;
  identity::KeyKind kind;
  std::string key;
};

// What the data folder says of keys, each asked once. It is held only while it is asked: a search
// may take hours, and a server must be able to start meanwhile.
class Verdicts {
 public:
  using OpenDesk = std::function<Result<std::unique_ptr<KeyDesk>>()>;

  Verdicts(OpenDesk open_desk, const Options& options)
      : open_desk_(std::move(open_desk)), options_(options) {}

  // {"key_id","state","client_id","tenant"}, with "revoked_now"; {"state":"unknown"} for a key of
  // another installation.
  Result<Json> of(const std::string& key) {
    const auto known = known_.find(key);
    if (known != known_.end()) {
      return known->second;
    }
    if (!desk_) {
      TRY(desk_, open_desk_());
    }
    TRY(Json verdict, ask(key));
    if (known_.size() < kKnownMax) {
      known_.emplace(key, verdict);
    }
    return verdict;
  }

  // Lets go of the folder until the next question.
  void rest() { desk_.reset(); }

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

  OpenDesk open_desk_;
  const Options& options_;
  std::unique_ptr<KeyDesk> desk_;
  std::unordered_map<std::string, Json> known_;
};

void print_as_line(const Sighting& seen, const Json& verdict) {
  std::string more;
  if (verdict.contains("state")) {
    more = "  " + verdict["state"].get<std::string>();
    if (verdict.contains("key_id")) {
      more += fmt::format("  {}  {}", verdict["key_id"].get<std::string>(),
                          verdict["client_id"].get<std::string>());
    }
    more += verdict.contains("revoked_now") ? "  (revoked now)" : "";
  }
  fmt::print("{}:{}: {}{}\n", printable(seen.place), seen.line, identity::masked_key(seen.key),
             printable(more));
}

// In ASCII: a path may hold anything, and this too may be shown by a terminal.
void print_as_json(const Sighting& seen, const Json& verdict) {
  Json line = {{"place", seen.place},
               {"line", seen.line},
               {"offset", seen.offset},
               {"key", identity::masked_key(seen.key)},
               {"kind", identity::kind_name(seen.kind)}};
  line.update(verdict);
  fmt::print("{}\n", line.dump(-1, ' ', true, Json::error_handler_t::replace));
}

// Prints what is found: at once where nobody is asked about it, else some at a time.
class Findings {
 public:
  Findings(std::optional<Verdicts> verdicts, bool json, LeakSearch::OnProblem on_problem)
      : verdicts_(std::move(verdicts)), json_(json), on_problem_(std::move(on_problem)) {}

  void take(Sighting seen) {
    ++count_;
    if (!verdicts_) {
      print(seen, Json::object());
      return;
    }
    const bool now = seen.place == "-";  // a pipe may be silent for hours after it
    waiting_.push_back(std::move(seen));
    if (now || waiting_.size() == kAskedTogether) {
      flush();
    }
  }

  void flush() {
    for (const Sighting& seen : waiting_) {
      auto verdict = verdicts_->of(seen.key);
      if (!verdict) {
        on_problem_(verdict.error());
        verdict = Json{{"state", "not known: the data folder did not answer"}};
      }
      print(seen, *verdict);
    }
    waiting_.clear();
    if (verdicts_) {
      verdicts_->rest();
    }
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  void print(const Sighting& seen, const Json& verdict) const {
    (json_ ? print_as_json : print_as_line)(seen, verdict);
  }

  std::optional<Verdicts> verdicts_;
  bool json_;
  LeakSearch::OnProblem on_problem_;
  std::vector<Sighting> waiting_;
  std::uint64_t count_ = 0;
};

// None without a data folder. That it can be opened is known before the search begins.
Result<std::optional<Verdicts>> verdicts_of(const Options& options, const Clock& clock) {
  if (options.revoke && options.data.empty()) {
    return fail(Code::invalid_argument, "--revoke needs --data: whose keys are they?");
  }
  if (options.revoke && options.reason.empty()) {
    return fail(Code::invalid_argument, "--revoke needs --reason; it goes into the audit log");
  }
  if (options.data.empty()) {
    return std::nullopt;
  }
  auto config = load_config_or_report(options.config);
  if (!config) {
    return fail(Code::invalid_argument, "the configuration has problems");
  }
  const Verdicts::OpenDesk open = [folder = DataFolder(options.data), config = *std::move(config),
                                   &clock] { return KeyDesk::open(folder, config, clock, false); };
  CHECK_OK(open());
  return Verdicts(open, options);
}

int scan(const Options& options) {
  const SystemClock clock;
  auto verdicts = verdicts_of(options, clock);
  if (!verdicts) {
    report(verdicts.error());
    return kBroken;
  }
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  std::uint64_t problems = 0;
  const auto on_problem = [&](const Error& error) {
    ++problems;
    report(error);
  };
  Findings findings(*std::move(verdicts), options.json, on_problem);
  LeakSearch search(
      [&](const std::string& place, const identity::KeySighting& seen) {
        findings.take({.place = place,
                       .offset = seen.offset,
                       .line = seen.line,
                       .kind = seen.kind,
                       .key = std::string(seen.key)});
      },
      on_problem,
      [&](const LeakSearch& so_far) {
        if (terminal) {
          fmt::print(stderr, "\r{} files, {} MB, {} keys", so_far.files(),
                     so_far.bytes() / 1'000'000, findings.count());
        }
      });
  search.set_history(!options.no_history);
  for (const std::string& path : options.paths) {
    search.search(path);
    findings.flush();
  }
  const std::uint64_t found = findings.count();
  fmt::print(stderr, "{}{} keys found in {} files, {} MB{}\n", terminal ? "\r" : "", found,
             search.files(), search.bytes() / 1'000'000,
             problems == 0 ? "" : fmt::format("; {} problems, see above", problems));
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
