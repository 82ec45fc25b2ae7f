// Exports, a line at a time. Any thread.
#include <string>

#include "verifier/bytes.h"
#include "verifier/file.h"
#include "verifier/proved_record.h"
#include "verifier/receipt.h"

namespace deepmoat::verifier {

namespace {

constexpr std::size_t kLineBytesMax = 2U * 1024 * 1024;
constexpr std::size_t kPieceBytes = 256U * 1024;
// Filters that only say from when and until when.
constexpr std::string_view kSpanSince = "since";
constexpr std::string_view kSpanUntil = "until";

// The lines of a file, each with its end.
class Lines {
 public:
  explicit Lines(const File& file) : file_(file) {}

  // False at the end of the file; malformed for a line that is too long.
  Result<bool> next(std::string_view& line) {
    rest_.remove_prefix(taken_);
    taken_ = 0;
    for (std::size_t searched = 0;;) {
      const std::size_t end = rest_.find('\n', searched);
      if (end != std::string_view::npos || offset_ >= file_.bytes()) {
        taken_ = end == std::string_view::npos ? rest_.size() : end + 1;
        line = rest_.substr(0, taken_);
        return !line.empty();
      }
      searched = rest_.size();
      if (searched > kLineBytesMax) {
        return malformed("a line is too long");
      }
      auto piece = file_.read(offset_, kPieceBytes);
      if (!piece) {
        return std::unexpected(std::move(piece).error());
      }
      offset_ += piece->size();
      buffer_ = std::string(rest_) + *piece;
      rest_ = buffer_;
    }
  }

 private:
  const File& file_;
  std::uint64_t offset_ = 0;
  std::string buffer_;
  std::string_view rest_;
  std::size_t taken_ = 0;
};

class ExportCheck {
 public:
  explicit ExportCheck(std::span<const VerifierKey> keys) : keys_(keys) {}

  // Returns nullptr or says what is wrong with the next line.
  const char* take(std::string_view line) {
    if (ended_) {
      return "something follows the line that ends it";
    }
    const auto object = parse_object(line);
    if (!object) {
      return "not a JSON object, or with a name that is there twice";
    }
    if (!begun_) {
      begun_ = true;
      hash_.add(line);
      return take_first(*object);
    }
    if (object->contains("sha256")) {
      return take_last(*object);
    }
    hash_.add(line);
    return take_record(*object);
  }

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] const ProofReport& report() const { return report_; }

 private:
  const char* take_first(const Json& object) {
    const std::string* name = text_of(object, "object");
    std::uint64_t version = 0;
    std::uint64_t made_ms = 0;
    if (name == nullptr || *name != "audit.export" || !number_of(object, "version", version)) {
      return "not an export";
    }
    if (version != 1) {
      return "an export of a version that this program does not know";
    }
    if (!has_exactly(object, {"object", "version", "origin", "made_ms", "filters", "checkpoint"}) ||
        !number_of(object, "made_ms", made_ms) || !object["filters"].is_object()) {
      return "its first line is not what it should be";
    }
    report_.whole = true;
    for (const auto& [filter, value] : object["filters"].items()) {
      if (!value.is_string()) {
        return "a filter is no text";
      }
      report_.whole = report_.whole && (filter == kSpanSince || filter == kSpanUntil);
    }
    SignatureFacts facts;
    if (const char* why = check_signed_checkpoint(object, keys_, checkpoint_, facts);
        why != nullptr) {
      return why;
    }
    const std::string* origin = text_of(object, "origin");
    if (origin == nullptr || *origin != checkpoint_.origin) {
      return "its origin is not that of its checkpoint";
    }
    report_.origin = checkpoint_.origin;
    report_.tree_size = checkpoint_.size;
    report_.sm2_checked = facts.sm2;
    return nullptr;
  }

  const char* take_record(const Json& object) {
    ProvedRecord record;
    const bool deleted = object.contains("leaf_hash");
    const char* why = deleted ? check_deleted_entry(object, checkpoint_, hasher_, record.sequence)
                              : check_entry(object, checkpoint_, hasher_, record);
    if (why != nullptr) {
      return why;
    }
    report_.deleted += deleted ? 1 : 0;
    if (record.sequence <= report_.last_sequence) {
      return "its sequences do not rise";
    }
    if (report_.whole && report_.records > 0 && record.sequence != report_.last_sequence + 1) {
      return "records are left out, though no filter says so";
    }
    report_.first_sequence = report_.records == 0 ? record.sequence : report_.first_sequence;
    report_.last_sequence = record.sequence;
    ++report_.records;
    return nullptr;
  }

  const char* take_last(const Json& object) {
    std::uint64_t records = 0;
    const std::string* sha256 = text_of(object, "sha256");
    const std::string* signature = text_of(object, "signature");
    if (!has_exactly(object, {"records", "sha256", "signature"}) || sha256 == nullptr ||
        signature == nullptr || !number_of(object, "records", records)) {
      return "its last line is not what it should be";
    }
    if (records != report_.records) {
      return "it has another number of records than its last line says";
    }
    if (*sha256 != to_hex(view(hash_.finish()))) {
      return "its hash is not the one in its last line";
    }
    const auto note = parse_note(*signature);
    const std::string wanted = "deepmoat-audit-export-v1\n" + checkpoint_.origin + "\n" + *sha256 +
                               "\n" + std::to_string(records) + "\n";
    if (!note || note->text != wanted) {
      return "its signature is not over its origin, hash and number of records";
    }
    const SignatureFacts facts = check_signatures(*note, keys_, checkpoint_.origin);
    if (facts.forged || !facts.ed25519) {
      return "no Ed25519 key that was given has signed its last line";
    }
    ended_ = true;
    return nullptr;
  }

  const std::span<const VerifierKey> keys_;
  const TreeHasher hasher_{Algorithm::sha256};
  RunningSha256 hash_;
  Checkpoint checkpoint_;
  ProofReport report_;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace

Result<ProofReport> check_export(const std::filesystem::path& path,
                                 std::span<const VerifierKey> keys) {
  const auto file = File::open(path);
  if (!file) {
    return std::unexpected(file.error());
  }
  Lines lines(*file);
  ExportCheck check(keys);
  const auto bad = [&](std::string why, std::uint64_t line) {
    ProofReport report = check.report();
    report.why = std::move(why);
    report.line = line;
    return report;
  };
  for (std::uint64_t number = 1;; ++number) {
    std::string_view line;
    const auto more = lines.next(line);
    if (!more && more.error().fault != Fault::malformed) {
      return std::unexpected(more.error());
    }
    if (!more) {
      return bad(more.error().message, number);
    }
    if (!*more) {
      return check.ended() ? check.report() : bad("it ends without its last line", number);
    }
    if (const char* why = check.take(line); why != nullptr) {
      return bad(why, number);
    }
  }
}

}  // namespace deepmoat::verifier
