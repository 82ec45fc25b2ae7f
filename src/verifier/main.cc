// deepmoat-verify: checks an audit log, a receipt or an export without the server that made it.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "verifier/file.h"
#include "verifier/given.h"
#include "verifier/log.h"
#include "verifier/log_folder.h"
#include "verifier/receipt.h"

namespace {

using deepmoat::verifier::GivenCheckpoint;
using deepmoat::verifier::LogOptions;
using deepmoat::verifier::ProofReport;
using deepmoat::verifier::Result;
using deepmoat::verifier::VerifierKey;

constexpr int kIntact = 0;
constexpr int kAltered = 1;
constexpr int kUnreadable = 2;

constexpr const char* kHelp =
    R"(deepmoat-verify: checks what a Deepmoat server has recorded, without the server.

  deepmoat-verify log FOLDER [--key KEY]... [--checkpoint FILE]... [--tiles] [--sm3] [--one-thread]
      every record of an audit log, its chain and its trees
  deepmoat-verify receipt FILE --key KEY...
      a receipt of one request
  deepmoat-verify export FILE --key KEY...
      an export of records

  --key KEY          a verifier's key, name+id+base64, or a file with one a line or with the
                     JSON of GET /v1/audit/key; take it from a place that whoever holds the server
                     cannot change
  --checkpoint FILE  a checkpoint kept in a second place or at an earlier date: the log must have
                     grown from it. Without one, nobody can tell a log from one that was written
                     anew by who holds the machine and its keys
  --tiles            compare the tiles of the trees too
  --sm3              compute the SM3 root even if the log has none
  --one-thread       use one thread instead of one for the chain and one for each tree

Exit status: 0 intact, 1 altered, 2 it could not be read or is no log, or wrong usage.
)";

struct Command {
  std::string what;
  std::string path;
  LogOptions options;
};

int say(int status, const std::string& text) {
  std::fputs((text + "\n").c_str(), status == kUnreadable ? stderr : stdout);
  return status;
}

Result<> add_keys(const std::string& text, std::vector<VerifierKey>& keys) {
  auto more = deepmoat::verifier::read_keys(text);
  if (!more) {
    return deepmoat::verifier::malformed("--key " + more.error().message);
  }
  keys.insert(keys.end(), more->begin(), more->end());
  return {};
}

Result<> add_checkpoint(const std::string& path, std::vector<GivenCheckpoint>& checkpoints) {
  auto checkpoint = deepmoat::verifier::read_checkpoint(path);
  if (!checkpoint) {
    return deepmoat::verifier::malformed("--checkpoint " + checkpoint.error().message);
  }
  checkpoints.push_back(*std::move(checkpoint));
  return {};
}

Result<Command> parse(const std::vector<std::string>& words) {
  const auto usage = [](const std::string& why) {
    return deepmoat::verifier::malformed(why + "; see deepmoat-verify --help");
  };
  Command command{.what = words.empty() ? "" : words[0]};
  const bool log = command.what == "log";
  if (!log && command.what != "receipt" && command.what != "export") {
    return usage("the first word must be log, receipt or export");
  }
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    const bool with_value = word == "--key" || (log && word == "--checkpoint");
    if (with_value && i + 1 == words.size()) {
      return usage(word + " needs a value");
    }
    Result<> done;
    if (word == "--key") {
      done = add_keys(words[++i], command.options.keys);
    } else if (with_value) {
      done = add_checkpoint(words[++i], command.options.checkpoints);
    } else if (log && word == "--tiles") {
      command.options.tiles = true;
    } else if (log && word == "--sm3") {
      command.options.sm3 = true;
    } else if (log && word == "--one-thread") {
      command.options.one_thread = true;
    } else if (!word.starts_with("-") && command.path.empty()) {
      command.path = word;
    } else {
      return usage("unexpected: " + word);
    }
    if (!done) {
      return std::unexpected(std::move(done).error());
    }
  }
  if (command.path.empty()) {
    return usage(log ? "the folder is missing" : "the file is missing");
  }
  if (!log && command.options.keys.empty()) {
    return usage("without --key it proves nothing");
  }
  return command;
}

int check_log(const Command& command) {
  if (const auto there = deepmoat::verifier::require_log(command.path); !there) {
    return say(kUnreadable, "deepmoat-verify: " + there.error().message);
  }
  const auto report = deepmoat::verifier::verify_log(command.path, command.options);
  if (!report) {
    return say(kUnreadable, "deepmoat-verify: " + report.error().message);
  }
  std::string text = describe(*report);
  if (command.options.checkpoints.empty()) {
    text = "not compared with a second place: no --checkpoint was given\n" + text;
  }
  if (!command.options.tiles) {
    text = "tiles not checked: no --tiles was given\n" + text;
  }
  return say(report->intact() ? kIntact : kAltered, text);
}

int check_proofs(const Command& command) {
  Result<ProofReport> report;
  if (command.what == "export") {
    report = deepmoat::verifier::check_export(command.path, command.options.keys);
  } else if (const auto text = deepmoat::verifier::read_small_file(
                 command.path, deepmoat::verifier::kReceiptBytesMax);
             text) {
    report = deepmoat::verifier::check_receipt(*text, command.options.keys);
  } else {
    report = std::unexpected(text.error());
  }
  if (!report) {
    return say(kUnreadable, "deepmoat-verify: " + report.error().message);
  }
  return say(report->intact() ? kIntact : kAltered, describe(command.what, *report));
}

}  // namespace

int main(int count, char** values) {
  const std::vector<std::string> words(values + 1, values + count);
  for (const std::string& word : words) {
    if (word == "--help" || word == "-h") {
      std::fputs(kHelp, stdout);
      return kIntact;
    }
  }
  const auto command = parse(words);
  if (!command) {
    return say(kUnreadable, "deepmoat-verify: " + command.error().message);
  }
  return command->what == "log" ? check_log(*command) : check_proofs(*command);
}
