// The sealed key file `<data>/keys/root.key`: every secret that the gateway's keys rest on.
// Byte by byte in docs/formats/keys.md. Used at start, from one thread.
//
// With a passphrase the file is encrypted under Argon2id(passphrase), older ones under scrypt until
// they are wrapped anew. Without one it is sealed under
// a key that anyone can derive from this source: that finds damage, and hides NOTHING. Then the
// rights of the file (0600) and of the disk under it are the only protection.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

// 32 bytes each. Every custody (custody.h) provides the same three.
struct RootSecrets {
  Secret signing;            // makes and checks keys and the MACs of their rows
  Secret pepper;             // finds a key's row
  Secret audit_fingerprint;  // fingerprints of prompts and answers; derive one a tenant
  std::string id;            // 32 hex digits, not secret: says which file a database belongs to
};

// Opens the file. Code::not_found when it is absent; Code::permission_denied when others than the
// owner may read it (the message names the chmod); Code::unauthenticated for a passphrase that is
// wrong or missing; Code::corrupt for any other bytes than those that were written.
// An empty passphrase means none.
[[nodiscard]] Result<RootSecrets> open_key_file(const std::filesystem::path& path,
                                                const Secret& passphrase);

// Makes new secrets and writes them with mode 0600 in a folder with mode 0700.
// Code::already_exists rather than replace a file: its keys would all be lost.
[[nodiscard]] Result<RootSecrets> create_key_file(const std::filesystem::path& path,
                                                  const Secret& passphrase);

// Opens the file, or creates it at the first start. `first_start` is the caller's knowledge that
// no database exists yet: when one does and the file is gone, making new secrets would silently
// kill every key, so that is Code::not_found with what to restore.
[[nodiscard]] Result<RootSecrets> open_or_create_key_file(const std::filesystem::path& path,
                                                          const Secret& passphrase,
                                                          bool first_start);

// Writes the same secrets anew, sealed under `new_passphrase` with today's function; after a crash
// there is the old file or the new one. `passphrase` and the errors as in open_key_file().
[[nodiscard]] Result<> rewrap_key_file(const std::filesystem::path& path, const Secret& passphrase,
                                       const Secret& new_passphrase);

// The id of a file whose checksum fits; needs no passphrase. Errors as in open_key_file().
[[nodiscard]] Result<std::string> key_file_id(const std::filesystem::path& path);

// For a person: "sealed with a passphrase (Argon2id)", ...
[[nodiscard]] Result<std::string> key_file_protection(const std::filesystem::path& path);

}  // namespace deepmoat::crypto
