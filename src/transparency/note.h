// Signed notes and checkpoints of a log: C2SP signed-note and tlog-checkpoint, with an Ed25519 line
// and, beside it, one of SM2 (docs/formats/audit.md, "Checkpoint"). Thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/signature.h"
#include "crypto/sm2.h"
#include "transparency/merkle.h"

namespace deepmoat::transparency {

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Digest root{};
  std::optional<Digest> sm3_root;
};

// The text that is signed.
[[nodiscard]] std::string checkpoint_text(const Checkpoint& checkpoint);
// Of a note's text. Code::corrupt for anything that checkpoint_text() would not write.
[[nodiscard]] Result<Checkpoint> parse_checkpoint(std::string_view text);

struct NoteSignature {
  std::string name;
  std::string key_id;  // 4 bytes
  std::string bytes;
};

struct Note {
  std::string text;  // with its last line end
  std::vector<NoteSignature> signatures;
};

// Code::corrupt. Says nothing about the signatures.
[[nodiscard]] Result<Note> parse_note(std::string_view bytes);

// The Ed25519 key of somebody else, who signs notes under a name.
class NoteVerifier {
 public:
  // "name+id+key", as NoteSigner::verifier_key() writes it. Code::invalid_argument for anything
  // else, also when the id is not that of the name and the key.
  static Result<NoteVerifier> parse(std::string_view text);

  [[nodiscard]] const std::string& name() const { return name_; }
  // The note, when one of its signatures is this key's and good. Code::corrupt otherwise.
  [[nodiscard]] Result<Note> open(std::string_view note) const;

 private:
  friend class NoteSigner;
  NoteVerifier(std::string name, std::string public_key);

  std::string name_;
  std::string public_key_;
  std::string key_id_;
};

// A key that signs notes under a name; a second one of SM2 if there is one.
class NoteSigner {
 public:
  // Code::invalid_argument for a name with spaces, a plus sign or a bar (syslog_place()).
  static Result<NoteSigner> make(std::string name, crypto::SigningKey key,
                                 std::optional<crypto::Sm2Key> sm2);

  [[nodiscard]] const std::string& name() const { return name_; }
  // The verifier's keys, as signed-note writes them: name+id+key.
  [[nodiscard]] std::string verifier_key() const;
  [[nodiscard]] std::optional<std::string> sm2_verifier_key() const;

  // The whole note. REQUIRES: the text ends with a line end.
  [[nodiscard]] Result<std::string> sign(std::string_view text) const;
  // As sign(), by the Ed25519 key alone.
  [[nodiscard]] Result<std::string> sign_plain(std::string_view text) const;
  // As NoteVerifier::open(), for our own.
  [[nodiscard]] Result<Note> open(std::string_view note) const { return verifier_.open(note); }

 private:
  NoteSigner(std::string name, crypto::SigningKey key, std::optional<crypto::Sm2Key> sm2);

  std::string name_;
  crypto::SigningKey key_;
  std::optional<crypto::Sm2Key> sm2_;
  NoteVerifier verifier_;  // of our own notes
  std::string sm2_key_id_;
};

}  // namespace deepmoat::transparency
