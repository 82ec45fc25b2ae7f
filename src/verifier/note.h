// Signed notes (c2sp.org/signed-note) and the checkpoints in them (c2sp.org/tlog-checkpoint).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verifier/hash.h"
#include "verifier/result.h"

namespace deepmoat::verifier {

enum class KeyKind : std::uint8_t { ed25519, sm2 };

// A public key that signs notes.
struct VerifierKey {
  KeyKind kind = KeyKind::ed25519;
  std::string name;
  std::uint32_t id = 0;
  std::string point;  // the key's bytes: 32 of Ed25519, 65 of SM2
};

// "name+5f0c9a1e+base64", as `deepmoat audit key` prints it; white space around it is ignored.
// malformed, also when the id is not that of the name and the key.
[[nodiscard]] Result<VerifierKey> parse_key(std::string_view text);

struct NoteSignature {
  std::string name;
  std::uint32_t key_id = 0;
  std::string bytes;
};

struct Note {
  std::string text;  // with its last line end: what is signed
  std::vector<NoteSignature> signatures;
};

inline constexpr std::size_t kNoteBytesMax = 1'000'000;

// malformed unless `bytes` is a note with a signature or more. Any thread.
[[nodiscard]] Result<Note> parse_note(std::string_view bytes);

// What the signatures of a note are worth.
struct SignatureFacts {
  bool ed25519 = false;  // a key of the caller's has signed it
  bool sm2 = false;
  bool forged = false;  // a signature in the name of a key of the caller's is not that key's
};

// Of signatures whose key is not among `keys` nothing is said. `name`: only keys of this name
// count as the signer. Any thread.
[[nodiscard]] SignatureFacts check_signatures(const Note& note, std::span<const VerifierKey> keys,
                                              std::string_view name);

// nullptr when each kind of key that the caller gave has signed, or what is missing.
[[nodiscard]] const char* missing_signature(const SignatureFacts& facts,
                                            std::span<const VerifierKey> keys);

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Digest root{};
  std::optional<Digest> sm3_root;
};

// Of a note's text.
[[nodiscard]] Result<Checkpoint> parse_checkpoint(std::string_view text);

}  // namespace deepmoat::verifier
