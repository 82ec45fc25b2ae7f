// Keys from passphrases, slow and hungry for memory on purpose. Each takes its cost from 3 bytes
// that stand in the file, so that the cost can rise without a new format.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

// Argon2id (RFC 9106): log2 of the memory in KiB, passes, lanes. 64 MiB, 3 passes: RFC 9106's
// second recommended choice, but with one lane, since Botan computes lanes one after the other.
inline constexpr std::string_view kArgon2idCost = "\x10\x03\x01";

// What a reader accepts, so that a crafted file cannot ask for all memory or all time.
[[nodiscard]] bool argon2id_cost_bearable(std::string_view cost);
[[nodiscard]] bool scrypt_cost_bearable(std::string_view cost);

// 32 bytes. Code::unavailable without the memory.
[[nodiscard]] Result<Secret> argon2id(const Secret& passphrase, std::string_view salt,
                                      std::string_view cost);
// Of older files: log2 of N, r, p.
[[nodiscard]] Result<Secret> scrypt(const Secret& passphrase, std::string_view salt,
                                    std::string_view cost);

}  // namespace deepmoat::crypto
