// On the caller's thread, before and after the log is read.
#include "verifier/checkpoints.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "verifier/bytes.h"
#include "verifier/file.h"

namespace deepmoat::verifier {

namespace {

constexpr std::size_t kSizeDigits = 20;

HeldCheckpoint hold(std::string name, CheckpointPlace place, std::string_view bytes,
                    std::span<const VerifierKey> keys) {
  HeldCheckpoint held;
  held.report.name = std::move(name);
  held.report.place = place;
  const auto note = parse_note(bytes);
  if (!note) {
    held.report.malformed = note.error().message;
    return held;
  }
  auto content = parse_checkpoint(note->text);
  if (!content) {
    held.report.malformed = content.error().message;
    return held;
  }
  held.report.size = content->size;
  if (!keys.empty()) {
    const SignatureFacts facts = check_signatures(*note, keys, content->origin);
    held.report.signature = facts.forged ? SignatureState::forged
                            : missing_signature(facts, keys) == nullptr
                                ? SignatureState::good
                                : SignatureState::unknown_key;
  }
  held.content = *std::move(content);
  return held;
}

// Adds the checkpoint in a file of the log; one that is not there is none.
Result<> hold_file(const std::filesystem::path& path, std::string name, CheckpointPlace place,
                   std::span<const VerifierKey> keys, std::vector<HeldCheckpoint>& held) {
  const auto bytes = read_small_file(path, kNoteBytesMax);
  if (bytes) {
    held.push_back(hold(std::move(name), place, *bytes, keys));
  } else if (bytes.error().fault == Fault::malformed) {
    held.push_back(
        {.report = {.name = std::move(name), .place = place, .malformed = bytes.error().message},
         .content = std::nullopt});
  } else if (bytes.error().fault == Fault::unreadable) {
    return std::unexpected(bytes.error());
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> earlier_checkpoints(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder / "checkpoints", error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    std::string name = entries->path().filename().string();
    if (name.size() == kSizeDigits &&
        std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) {
      names.push_back(std::move(name));
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return fail(Fault::unreadable,
                "list " + (folder / "checkpoints").string() + ": " + error.message());
  }
  std::ranges::sort(names);
  return names;
}

Result<std::vector<HeldCheckpoint>> hold_checkpoints(const std::filesystem::path& folder,
                                                     const LogOptions& options) {
  std::vector<HeldCheckpoint> held;
  const auto names = earlier_checkpoints(folder);
  if (!names) {
    return std::unexpected(names.error());
  }
  for (const std::string& name : *names) {
    const std::size_t before = held.size();
    if (auto done = hold_file(folder / "checkpoints" / name, "checkpoints/" + name,
                              CheckpointPlace::earlier, options.keys, held);
        !done) {
      return std::unexpected(std::move(done).error());
    }
    if (held.size() > before && held.back().content) {
      std::string size = std::to_string(held.back().report.size);
      size.insert(0, kSizeDigits - size.size(), '0');
      if (size != name) {
        held.back().report.malformed = "its name is not its number of records";
        held.back().content.reset();
      }
    }
  }
  if (auto done = hold_file(folder / "checkpoint", "checkpoint", CheckpointPlace::newest,
                            options.keys, held);
      !done) {
    return std::unexpected(std::move(done).error());
  }
  for (const GivenCheckpoint& given : options.checkpoints) {
    held.push_back(hold(given.name, CheckpointPlace::given, given.note, options.keys));
  }
  return held;
}

void compare_roots(HeldCheckpoint& held, const TreeScan& tree, const TreeScan* sm3,
                   bool log_is_bad) {
  if (!held.content) {
    return;
  }
  const Checkpoint& content = *held.content;
  const Digest* root = tree.root_at(content.size);
  if (root == nullptr) {
    held.report.root = log_is_bad ? RootState::not_reached : RootState::log_shorter;
    return;
  }
  const Digest* sm3_root = sm3 == nullptr ? nullptr : sm3->root_at(content.size);
  held.report.sm3_compared = content.sm3_root && sm3_root != nullptr;
  const bool equal =
      *root == content.root && (!held.report.sm3_compared || *sm3_root == *content.sm3_root);
  held.report.root = equal ? RootState::equal : RootState::different;
}

bool CheckpointReport::testifies() const {
  return malformed.empty() &&
         (signature == SignatureState::good || signature == SignatureState::not_checked);
}

bool CheckpointReport::bad() const {
  return !malformed.empty() || root == RootState::different || root == RootState::log_shorter ||
         signature == SignatureState::forged ||
         (signature == SignatureState::unknown_key && place != CheckpointPlace::earlier);
}

}  // namespace deepmoat::verifier
