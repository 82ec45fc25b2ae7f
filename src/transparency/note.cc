#include "transparency/note.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/hex.h"
#include "crypto/base64.h"

namespace deepmoat::transparency {

namespace {

constexpr std::string_view kSignatureStart = "\xe2\x80\x94 ";  // an em dash and a space
constexpr std::string_view kSm3Line = "sm3 ";
constexpr std::string_view kEd25519Kind = "\x01";
constexpr std::string_view kSm2Kind =
    "\xff"
    "deepmoat-sm2-sm3-v1";
constexpr std::size_t kKeyIdBytes = 4;
constexpr std::size_t kNoteBytesMax = 64 * 1024;
constexpr std::size_t kOriginBytesMax = 200;  // files are named after it

std::string key_id_of(std::string_view name, std::string_view kind, std::string_view key) {
  const Digest hash = crypto::sha256({name, "\n", kind, key});
  return {hash.data(), kKeyIdBytes};
}

std::string verifier_key_of(std::string_view name, std::string_view id, std::string_view kind,
                            std::string_view key) {
  return fmt::format("{}+{}+{}", name, to_hex(id),
                     crypto::to_base64(std::string(kind) + std::string(key)));
}

std::unexpected<Error> bad(std::string_view why) {
  return fail(Code::corrupt, fmt::format("the checkpoint cannot be read: {}", why));
}

// Takes the next line off `text`, without its line end; nothing when there is no whole line.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

std::optional<Digest> digest_from(std::string_view base64) {
  const std::optional<std::string> bytes = crypto::from_base64(base64);
  Digest digest;
  if (!bytes || bytes->size() != digest.size()) {
    return std::nullopt;
  }
  std::memcpy(digest.data(), bytes->data(), digest.size());
  return digest;
}

bool good_name(std::string_view name) {
  const auto printable = [](unsigned char c) {
    return c > 0x20 && c < 0x7f && c != '+' && c != '|';
  };
  return !name.empty() && name.size() <= kOriginBytesMax && std::ranges::all_of(name, printable);
}

std::string signature_line(std::string_view name, std::string_view id, std::string_view bytes) {
  return fmt::format("{}{} {}\n", kSignatureStart, name,
                     crypto::to_base64(std::string(id) + std::string(bytes)));
}

}  // namespace

std::string checkpoint_text(const Checkpoint& checkpoint) {
  std::string text = fmt::format("{}\n{}\n{}\n", checkpoint.origin, checkpoint.size,
                                 crypto::to_base64(crypto::view(checkpoint.root)));
  if (checkpoint.sm3_root) {
    text += fmt::format("{}{}\n", kSm3Line, crypto::to_base64(crypto::view(*checkpoint.sm3_root)));
  }
  return text;
}

Result<Checkpoint> parse_checkpoint(std::string_view text) {
  Checkpoint checkpoint;
  std::string_view rest = text;
  const auto origin = take_line(rest);
  const auto size = take_line(rest);
  const auto root = take_line(rest);
  if (!origin || !size || !root) {
    return bad("it has fewer than three lines");
  }
  checkpoint.origin = *origin;
  if (std::from_chars(size->data(), size->data() + size->size(), checkpoint.size).ec !=
      std::errc()) {
    return bad("its second line is no number");
  }
  const std::optional<Digest> hash = digest_from(*root);
  if (!hash) {
    return bad("its third line is no hash");
  }
  checkpoint.root = *hash;
  if (const auto line = take_line(rest); line && line->starts_with(kSm3Line)) {
    checkpoint.sm3_root = digest_from(line->substr(kSm3Line.size()));
  }
  // One spelling only: leading zeros, a second space, further lines are somebody else's.
  return checkpoint_text(checkpoint) == text ? Result<Checkpoint>(std::move(checkpoint))
                                             : bad("it is not spelled as this program spells it");
}

Result<Note> parse_note(std::string_view bytes) {
  if (bytes.size() > kNoteBytesMax) {
    return bad("it is too long");
  }
  const std::size_t blank = bytes.rfind("\n\n");
  if (blank == std::string_view::npos) {
    return bad("it has no signatures");
  }
  Note note{.text = std::string(bytes.substr(0, blank + 1)), .signatures = {}};
  std::string_view rest = bytes.substr(blank + 2);
  while (const auto line = take_line(rest)) {
    if (!line->starts_with(kSignatureStart)) {
      return bad("a signature line does not begin with a dash");
    }
    const std::string_view named = line->substr(kSignatureStart.size());
    const std::size_t space = named.find(' ');
    const auto signature = space == std::string_view::npos
                               ? std::nullopt
                               : crypto::from_base64(named.substr(space + 1));
    if (!signature || signature->size() <= kKeyIdBytes) {
      return bad("a signature line holds no signature");
    }
    note.signatures.push_back({.name = std::string(named.substr(0, space)),
                               .key_id = signature->substr(0, kKeyIdBytes),
                               .bytes = signature->substr(kKeyIdBytes)});
  }
  if (!rest.empty() || note.signatures.empty()) {
    return bad("its last line is cut off");
  }
  return note;
}

NoteVerifier::NoteVerifier(std::string name, std::string public_key)
    : name_(std::move(name)),
      public_key_(std::move(public_key)),
      key_id_(key_id_of(name_, kEd25519Kind, public_key_)) {}

Result<NoteVerifier> NoteVerifier::parse(std::string_view text) {
  const std::size_t id_at = text.find('+');
  const std::string name(text.substr(0, id_at));
  const std::size_t key_at = text.find('+', id_at + 1);
  if (id_at != std::string_view::npos && key_at != std::string_view::npos && good_name(name)) {
    const auto key = crypto::from_base64(text.substr(key_at + 1));
    if (key && key->starts_with(kEd25519Kind) &&
        key->size() == kEd25519Kind.size() + crypto::kPublicKeyBytes) {
      NoteVerifier made(name, key->substr(kEd25519Kind.size()));
      if (to_hex(made.key_id_) == text.substr(id_at + 1, key_at - id_at - 1)) {
        return made;
      }
    }
  }
  return fail(
      Code::invalid_argument,
      fmt::format("\"{}\" is no Ed25519 key of a log, as `deepmoat audit key` prints it", text));
}

Result<Note> NoteVerifier::open(std::string_view bytes) const {
  TRY(Note note, parse_note(bytes));
  const bool good = std::ranges::any_of(note.signatures, [&](const NoteSignature& signature) {
    return signature.name == name_ && signature.key_id == key_id_ &&
           crypto::verify_signature(public_key_, note.text, signature.bytes);
  });
  return good ? Result<Note>(std::move(note)) : bad("it is not signed by the key of " + name_);
}

NoteSigner::NoteSigner(std::string name, crypto::SigningKey key, std::optional<crypto::Sm2Key> sm2)
    : name_(std::move(name)),
      key_(std::move(key)),
      sm2_(std::move(sm2)),
      verifier_(name_, key_.public_key()) {
  if (sm2_) {
    sm2_key_id_ = key_id_of(name_, kSm2Kind, sm2_->public_key());
  }
}

Result<NoteSigner> NoteSigner::make(std::string name, crypto::SigningKey key,
                                    std::optional<crypto::Sm2Key> sm2) {
  if (!good_name(name)) {
    return fail(Code::invalid_argument,
                fmt::format("the audit log's origin must be 1 to {} printable ASCII characters "
                            "without spaces, '+' and '|'",
                            kOriginBytesMax));
  }
  return NoteSigner(std::move(name), std::move(key), std::move(sm2));
}

std::string NoteSigner::verifier_key() const {
  return verifier_key_of(name_, verifier_.key_id_, kEd25519Kind, key_.public_key());
}

std::optional<std::string> NoteSigner::sm2_verifier_key() const {
  return sm2_ ? std::optional(verifier_key_of(name_, sm2_key_id_, kSm2Kind, sm2_->public_key()))
              : std::nullopt;
}

Result<std::string> NoteSigner::sign_plain(std::string_view text) const {
  TRY(const std::string signature, key_.sign(text));
  return fmt::format("{}\n{}", text, signature_line(name_, verifier_.key_id_, signature));
}

Result<std::string> NoteSigner::sign(std::string_view text) const {
  TRY(std::string note, sign_plain(text));
  if (sm2_) {
    TRY(const std::string signature, sm2_->sign(text));
    note += signature_line(name_, sm2_key_id_, signature);
  }
  return note;
}

}  // namespace deepmoat::transparency
