// `deepmoat audit verify|check-receipt|check-export`: with the verifier, which shares no code with
// the server, and a public key. No server is needed, and for a receipt or an export no data folder.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/data_folder.h"
#include "verifier/file.h"
#include "verifier/log.h"
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
};

int report_fault(const verifier::Error& error) {
  return report({Code::io, error.message});
}

// A key, or a file with one a line.
verifier::Result<> add_keys(const std::string& text, std::vector<VerifierKey>& keys) {
  if (auto key = verifier::parse_key(text)) {
    keys.push_back(*std::move(key));
    return {};
  }
  auto lines = verifier::read_small_file(text, verifier::kNoteBytesMax);
  if (!lines) {
    return verifier::malformed(
        text + " is neither a verifier's key nor a file with some: " + lines.error().message);
  }
  for (std::size_t begin = 0; begin < lines->size();) {
    const std::size_t end = std::min(lines->find('\n', begin), lines->size());
    const std::string line = lines->substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) {
      continue;
    }
    auto key = verifier::parse_key(line);
    if (!key) {
      return std::unexpected(std::move(key).error());
    }
    keys.push_back(*std::move(key));
  }
  return keys.empty() ? verifier::malformed(text + ": no key in it") : verifier::Result<>();
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
    if (auto added = add_keys(source, keys); !added) {
      return std::unexpected(std::move(added).error());
    }
    fmt::print("key: {}\n", source);
  }
  return keys;
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

int verify(const Options& options) {
  auto keys = keys_of(options);
  if (!keys) {
    return report_fault(keys.error());
  }
  if (never_signed(options)) {
    keys->clear();
  }
  verifier::LogOptions log_options{.keys = *keys, .tiles = options.tiles};
  for (const std::string& path : options.checkpoints) {
    auto note = verifier::read_small_file(path, verifier::kNoteBytesMax);
    if (!note) {
      return report_fault(note.error());
    }
    log_options.checkpoints.push_back({.name = path, .note = *std::move(note)});
  }
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  log_options.progress = [terminal](std::uint64_t done, std::uint64_t total) {
    if (terminal && total > 0) {
      fmt::print(stderr, "\rverifying {} %", done * 100 / total);
    }
  };
  const auto verified = verifier::verify_log(DataFolder(options.data).audit(), log_options);
  if (terminal) {
    fmt::print(stderr, "\r                \r");
  }
  if (!verified) {
    return report_fault(verified.error());
  }
  fmt::print("{}\n", verifier::describe(*verified));
  return verified->intact() ? kSuccess : kFailure;
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
    return report_fault(keys.error());
  }
  if (keys->empty()) {
    report({Code::invalid_argument,
            "without a key it proves nothing: give the server's with --key, or its data folder"});
    return kUsage;
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
  command->add_option("--key", options->keys,
                      "A verifier's key, or a file with some; best from before anything happened");
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
