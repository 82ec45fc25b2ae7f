// Where the root keys live: a sealed file (file_custody.h) or a PKCS#11 token (pkcs11_custody.h).
// Everything else rests on what is here:
//
//   root of custody -> master key of a generation -> tenant keys -> fields   (envelope.h)
//   root of custody -> the secrets that API keys and audit fingerprints rest on (RootSecrets)
//
// A token is slow and can vanish, so nothing here is called for an API call: at start, on a roll,
// and by the canary (custody_watch.h).
//
// Chinese cryptographic cards speak SDF (GM/T 0018), not PKCS#11. A back end for them implements
// this interface over the card's library (docs/custody.md); none is built in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "crypto/key_file.h"

namespace deepmoat::crypto {

// For people and for reports; nothing secret.
struct CustodyFacts {
  std::string kind;            // "file", "pkcs11"
  std::string place;           // the file, or the token's label and serial number
  std::string protection;      // what stands between a thief of the disk and the keys
  std::string id;              // of the root keys, as RootSecrets::id
  bool keys_can_leave = true;  // false: the device says that they never could
};

// Thread-safe; calls may take seconds. Errors of all: Code::unavailable when the root keys cannot
// be reached, Code::corrupt when they or the bytes are not those of before.
class KeyCustody {
 public:
  KeyCustody() = default;
  KeyCustody(const KeyCustody&) = delete;
  KeyCustody& operator=(const KeyCustody&) = delete;
  virtual ~KeyCustody() = default;

  // The same at every start.
  [[nodiscard]] virtual Result<RootSecrets> root_secrets() = 0;

  // Key-encryption keys, one a generation. Code::already_exists for one that is there.
  [[nodiscard]] virtual Result<> generate(std::uint64_t generation) = 0;
  [[nodiscard]] virtual Result<std::vector<std::uint64_t>> generations() = 0;  // rising
  // Afterwards nothing that this generation wrapped can be opened. One that is gone is no error.
  [[nodiscard]] virtual Result<> destroy(std::uint64_t generation) = 0;
  [[nodiscard]] virtual Result<std::string> wrap(std::uint64_t generation, const Secret& plain,
                                                 std::string_view associated) = 0;
  // Code::not_found when the generation is not there.
  [[nodiscard]] virtual Result<Secret> unwrap(std::uint64_t generation, std::string_view wrapped,
                                              std::string_view associated) = 0;

  // The canary: uses the keys and compares with the answer of the start. Code::unavailable: not
  // reachable. Code::corrupt: it answers, and wrongly.
  [[nodiscard]] virtual Result<> check() = 0;
  // After a failed check: begins anew with the device.
  [[nodiscard]] virtual Result<> recover() = 0;

  [[nodiscard]] virtual CustodyFacts describe() = 0;

  // A few hundred bytes that are not secret, kept in the device under a name: what a thief of the
  // disk cannot set back. Code::invalid_argument where there is no device.
  [[nodiscard]] virtual Result<> keep_note(const std::string& name, std::string_view bytes);
  // None: never kept.
  [[nodiscard]] virtual Result<std::optional<std::string>> read_note(const std::string& name);
};

}  // namespace deepmoat::crypto
