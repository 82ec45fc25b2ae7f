#include "transparency/witness.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <set>
#include <utility>

#include "base/file.h"
#include "crypto/base64.h"

namespace deepmoat::transparency {

namespace {

constexpr std::string_view kOld = "old ";
constexpr std::size_t kProofHashesMax = 63;  // C2SP tlog-witness
constexpr std::size_t kNoteBytesMax = 64 * 1024;

std::unexpected<Error> malformed(std::string_view why) {
  return fail(Code::invalid_argument, fmt::format("add-checkpoint: {}", why));
}

}  // namespace

std::string next_checkpoint_body(const NextCheckpoint& next) {
  std::string body = fmt::format("{}{}\n", kOld, next.old_size);
  for (const Digest& hash : next.proof) {
    body += crypto::to_base64(crypto::view(hash)) + '\n';
  }
  return body + '\n' + next.note;
}

Result<NextCheckpoint> parse_next_checkpoint(std::string_view body) {
  const std::size_t end = body.find("\n\n");
  if (end == std::string_view::npos || !body.starts_with(kOld)) {
    return malformed(
        "it must begin with \"old \" and a size, and have an empty line before the "
        "note");
  }
  NextCheckpoint next{.note = std::string(body.substr(end + 2))};
  std::string_view head = body.substr(kOld.size(), end - kOld.size());
  const std::string_view size = head.substr(0, head.find('\n'));
  const auto [stop, error] = std::from_chars(size.data(), size.data() + size.size(), next.old_size);
  if (error != std::errc() || stop != size.data() + size.size()) {
    return malformed("its first line must be \"old \" and a size");
  }
  for (head.remove_prefix(size.size()); !head.empty();) {
    head.remove_prefix(1);  // the line end
    const std::string_view line = head.substr(0, head.find('\n'));
    const auto hash = crypto::from_base64(line);
    if (!hash || hash->size() != sizeof(Digest) || next.proof.size() == kProofHashesMax) {
      return malformed("a line of its proof is no hash, or they are too many");
    }
    std::memcpy(next.proof.emplace_back().data(), hash->data(), sizeof(Digest));
    head.remove_prefix(line.size());
  }
  return next;
}

std::string checkpoint_file_name(std::string_view origin) {
  std::string name(origin);
  std::ranges::replace_if(
      name, [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '-'; }, '_');
  return name + ".checkpoint";
}

Result<std::unique_ptr<Witness>> Witness::open(std::filesystem::path folder,
                                               std::vector<NoteVerifier> logs) {
  std::set<std::string> files;
  for (const NoteVerifier& log : logs) {
    if (!files.insert(checkpoint_file_name(log.name())).second) {
      return fail(Code::invalid_argument,
                  fmt::format("two keys are of logs named {}, or so nearly that their checkpoints "
                              "would be kept in one file",
                              log.name()));
    }
  }
  if (!logs.empty()) {
    CHECK_OK(make_directory(folder, 0700));
    CHECK_OK(sync_directory(folder.parent_path()));
  }
  return std::unique_ptr<Witness>(new Witness(std::move(folder), std::move(logs)));
}

const NoteVerifier* Witness::log_of(std::string_view origin) const {
  const auto found = std::ranges::find(logs_, origin, &NoteVerifier::name);
  return found == logs_.end() ? nullptr : &*found;
}

Result<std::optional<std::string>> Witness::read(const NoteVerifier& log) const {
  auto note = read_file(folder_ / checkpoint_file_name(log.name()), kNoteBytesMax);
  if (!note && note.error().code == Code::not_found) {
    return std::nullopt;
  }
  return note ? Result<std::optional<std::string>>(std::move(*note))
              : std::unexpected(std::move(note).error());
}

Result<std::optional<std::string>> Witness::newest(std::string_view origin) {
  const NoteVerifier* const log = log_of(origin);
  if (log == nullptr) {
    return fail(Code::not_found, "no checkpoints of this log are kept here");
  }
  const std::lock_guard lock(mutex_);
  return read(*log);
}

Result<WitnessAnswer> Witness::add(const NextCheckpoint& next) {
  WitnessAnswer answer;
  const auto unsigned_note = parse_note(next.note);
  const auto claimed = unsigned_note ? parse_checkpoint(unsigned_note->text)
                                     : Result<Checkpoint>(std::unexpected(unsigned_note.error()));
  if (!claimed) {
    return malformed(claimed.error().message);
  }
  answer.origin = claimed->origin;
  const NoteVerifier* const log = log_of(claimed->origin);
  if (log == nullptr) {
    answer.verdict = WitnessVerdict::unknown_log;
    return answer;
  }
  const std::lock_guard lock(mutex_);
  TRY(const std::optional<std::string> kept, read(*log));
  Checkpoint before;
  if (kept) {
    const auto note = log->open(*kept);
    if (!note) {
      return fail(Code::corrupt,
                  fmt::format("{}: {}; if the log has a new key, move this file away",
                              (folder_ / checkpoint_file_name(log->name())).string(),
                              note.error().message));
    }
    TRY(before, parse_checkpoint(note->text));
  }
  answer.size = before.size;
  if (!log->open(next.note)) {
    answer.verdict = WitnessVerdict::not_signed;
  } else if (next.old_size != before.size || claimed->size < before.size) {
    answer.verdict = WitnessVerdict::other_size;
  } else if (before.size > 0 && !consistency_holds(TreeHash::sha256, before.size, claimed->size,
                                                   next.proof, before.root, claimed->root)) {
    answer.verdict = WitnessVerdict::inconsistent;
  } else if (!kept || claimed->size > before.size) {  // of two for one tree the first stays
    CHECK_OK(write_file_atomic(folder_ / checkpoint_file_name(log->name()), next.note, 0600));
    answer.size = claimed->size;
  }
  return answer;
}

}  // namespace deepmoat::transparency
