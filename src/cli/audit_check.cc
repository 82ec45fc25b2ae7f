// `deepmoat audit verify|check-receipt|check-export`: with the verifier, which shares no code with
// the server, and a public key. No server is needed, and for a receipt or an export no data folder.
// Only whether the index fits the log is found out by the code that makes indexes.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "cli/audit_reading.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "review/audit_index.h"
#include "review/index_check.h"
#include "verifier/file.h"
#include "verifier/given.h"
#include "verifier/log.h"
#include "verifier/log_folder.h"
#include "verifier/receipt.h"

namespace deepmoat::cli {

namespace {

using verifier::VerifierKey;

struct Options {
  std::string data = kDataFolderDefault;
  std::string file;
  std::vector<std::string> keys;
  std::vector<std::string> checkpoints;
  bool tiles = false;
  bool no_index = false;
};

int report_fault(const verifier::Error& error) {
  return report({Code::io, error.message});
}

int report_usage(const std::string& message) {
  report({Code::invalid_argument, message});
  return kUsage;
}

// Those that were given, or the data folder's own: that one whoever holds the machine can replace.
verifier::Result<std::vector<VerifierKey>> keys_of(const Options& options) {
  std::vector<std::string> sources = options.keys;
  const std::filesystem::path own = DataFolder(options.data).audit_key();
  std::error_code error;
  if (sources.empty() && std::filesystem::exists(own, error)) {
    sources.push_back(own.string());
  }
  std::vector<VerifierKey> keys;
  for (const std::string& source : sources) {
    const auto more = verifier::read_keys(source);
    if (!more) {
      return std::unexpected(more.error());
    }
    keys.insert(keys.end(), more->begin(), more->end());
    fmt::print("key: {}\n", source);
  }
  return keys;
}

// A key that was given and is none is a wrong command line; the folder's own is not.
int report_keys_fault(const Options& options, const verifier::Error& error) {
  return options.keys.empty() ? report_fault(error) : report_usage("--key " + error.message);
}

// An empty folder would be a log without records, and whoever names a wrong one would read that it
// is intact.
verifier::Result<> require_log(const DataFolder& data) {
  const auto found = verifier::holds_log(data.audit());
  if (found && *found) {
    return {};
  }
  if (!found && found.error().fault != verifier::Fault::not_there) {
    return std::unexpected(found.error());
  }
  if (verifier::holds_log(data.root()).value_or(false)) {
    return verifier::fail(
        verifier::Fault::not_there,
        data.root().string() + " is an audit log itself; name the data folder that it lies in");
  }
  return verifier::fail(
      verifier::Fault::not_there,
      fmt::format("{} {}; name the server's data folder with --data", data.audit().string(),
                  found ? "holds no audit log (no segment and no checkpoint)" : "is not there"));
}

// A server that was ended within its first second has signed nothing yet. To an auditor with a key
// of his own that is no excuse.
bool never_signed(const Options& options) {
  const std::filesystem::path log = DataFolder(options.data).audit();
  std::error_code error;
  return options.keys.empty() && options.checkpoints.empty() &&
         !std::filesystem::exists(log / "checkpoint", error) &&
         !std::filesystem::exists(log / "checkpoints", error);
}

// A folder that goes away, with all that is in it.
class PassingFolder {
 public:
  explicit PassingFolder(std::filesystem::path path) : path_(std::move(path)) {}
  ~PassingFolder() { remove(); }
  PassingFolder(const PassingFolder&) = delete;
  PassingFolder& operator=(const PassingFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  Result<> begin() {
    remove();
    return make_directory(path_, 0700);
  }

 private:
  void remove() const {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path path_;
};

Result<review::IndexDifference> compare_index(const DataFolder& data) {
  PassingFolder folder(data.index_check());
  CHECK_OK(folder.begin());
  TRY(const auto fresh, review::AuditIndex::open(folder.path() / "fresh.db"));
  CHECK_OK(catch_up(*fresh, data));
  TRY(const auto index, open_index(data));
  CHECK_OK(catch_up(*index, data));
  return review::compare_index(*index, *fresh);
}

// What queries, receipts, exports and reports find their records by. It is no evidence, and no part
// of what an auditor needs; that it was altered is a sign all the same.
int verify_index(const DataFolder& data) {
  std::error_code error;
  if (!std::filesystem::exists(data.audit_index(), error)) {
    return kSuccess;
  }
  const auto difference = compare_index(data);
  if (!difference) {
    return report({difference.error().code,
                   "the index could not be compared with the log (--no-index leaves it out): " +
                       difference.error().message});
  }
  if (difference->none()) {
    fmt::print("index: as the log\n");
    return kSuccess;
  }
  fmt::print(
      "index: NOT AS THE LOG: {}; what it was asked may have been answered wrongly. Make it again: "
      "deepmoat audit rebuild-index\n",
      difference->form
          ? "a table or a view of it is another one"
          : fmt::format("{} of its rows are altered, missing or too many, the first is record {}",
                        difference->records, difference->first_sequence));
  return kFailure;
}

int verify(const Options& options) {
  const DataFolder data(options.data);
  if (const auto there = require_log(data); !there) {
    return report_fault(there.error());
  }
  auto keys = keys_of(options);
  if (!keys) {
    return report_keys_fault(options, keys.error());
  }
  if (never_signed(options)) {
    keys->clear();
  }
  verifier::LogOptions log_options{.keys = *keys, .tiles = options.tiles};
  for (const std::string& path : options.checkpoints) {
    auto checkpoint = verifier::read_checkpoint(path);
    if (!checkpoint) {
      return report_usage("--checkpoint " + checkpoint.error().message);
    }
    log_options.checkpoints.push_back(*std::move(checkpoint));
  }
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  log_options.progress = [terminal](std::uint64_t done, std::uint64_t total) {
    if (terminal && total > 0) {
      fmt::print(stderr, "\rverifying {} %", done * 100 / total);
    }
  };
  const auto verified = verifier::verify_log(data.audit(), log_options);
  if (terminal) {
    fmt::print(stderr, "\r                \r");
  }
  if (!verified) {
    return report_fault(verified.error());
  }
  int status = verified->intact() ? kSuccess : kFailure;
  if (verified->intact() && !options.no_index) {
    status = verify_index(data);
  }
  fmt::print("{}\n", verifier::describe(*verified));  // its last line is the verdict
  return status;
}

using Check = verifier::Result<verifier::ProofReport> (*)(const std::string& path,
                                                          const std::vector<VerifierKey>& keys);

verifier::Result<verifier::ProofReport> check_receipt(const std::string& path,
                                                      const std::vector<VerifierKey>& keys) {
  const auto text = verifier::read_small_file(path, verifier::kReceiptBytesMax);
  if (!text) {
    return std::unexpected(text.error());
  }
  return verifier::check_receipt(*text, keys);
}

verifier::Result<verifier::ProofReport> check_export(const std::string& path,
                                                     const std::vector<VerifierKey>& keys) {
  return verifier::check_export(path, keys);
}

int check(const Options& options, const char* what, Check check) {
  const auto keys = keys_of(options);
  if (!keys) {
    return report_keys_fault(options, keys.error());
  }
  if (keys->empty()) {
    return report_usage(
        "without a key it proves nothing: give the server's with --key, or its data folder");
  }
  const auto checked = check(options.file, *keys);
  if (!checked) {
    return report_fault(checked.error());
  }
  fmt::print("{}\n", verifier::describe(what, *checked));
  return checked->intact() ? kSuccess : kFailure;
}

CLI::App* add(CLI::App& audit, const char* name, const char* help,
              const std::shared_ptr<Options>& options) {
  CLI::App* command = audit.add_subcommand(name, help);
  command
      ->add_option("--data", options->data, "The data folder; its key counts where none is given")
      ->capture_default_str();
  command->add_option(
      "--key", options->keys,
      "A verifier's key, or a file with some (also the JSON of GET /v1/audit/key); best "
      "from before anything happened");
  return command;
}

}  // namespace

void add_audit_check(CLI::App& audit, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verify_command = add(audit, "verify",
                                 "Check every record, the chain, the tree and its checkpoints; "
                                 "exit status 0: intact, 1: altered or unreadable",
                                 options);
  verify_command->add_option("--checkpoint", options->checkpoints,
                             "A checkpoint from a second place, which the log must continue");
  verify_command->add_flag("--tiles", options->tiles, "The stored tiles of the tree too");
  verify_command->add_flag("--no-index", options->no_index,
                           "Without comparing audit-index.db, if it is there, with the log");
  verify_command->callback([options, &status] { status = verify(*options); });

  CLI::App* receipt_command = add(audit, "check-receipt", "Check a receipt, anywhere", options);
  receipt_command->add_option("FILE", options->file, "The receipt")->required();
  receipt_command->callback(
      [options, &status] { status = check(*options, "receipt", check_receipt); });

  CLI::App* export_command = add(audit, "check-export", "Check an export, anywhere", options);
  export_command->add_option("FILE", options->file, "The export")->required();
  export_command->callback(
      [options, &status] { status = check(*options, "export", check_export); });
}

}  // namespace deepmoat::cli
