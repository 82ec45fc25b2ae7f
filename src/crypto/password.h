// Passwords of people, as stored: Argon2id in the PHC string form ("$argon2id$v=19$m=..."), over
// Botan. Slow and hungry for memory on purpose; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::crypto {

// 64 MiB, 3 passes, 1 lane, as for passphrases (passphrase.h): about 0.2 s of one core.
struct PasswordCost {
  std::size_t memory_kib = 64 * 1024;
  std::size_t passes = 3;
};

// Code::unavailable without the memory.
[[nodiscard]] Result<std::string> hash_password(const Secret& password, PasswordCost cost = {});

// Compares in constant time. False too for a `hash` that is none.
[[nodiscard]] bool password_fits(const Secret& password, std::string_view hash);

// No password fits it, and looking costs what it costs for a person who exists.
[[nodiscard]] std::string hash_of_nobody(PasswordCost cost = {});

}  // namespace deepmoat::crypto
