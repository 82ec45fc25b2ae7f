#include "crypto/password.h"

#include <botan/argon2.h>
#include <botan/auto_rng.h>

#include <exception>

namespace deepmoat::crypto {

namespace {

constexpr std::size_t kLanes = 1;
constexpr std::size_t kSaltDigits = 22;  // base64 of 16 bytes
constexpr std::size_t kHashDigits = 43;  // base64 of 32 bytes

}  // namespace

Result<std::string> hash_password(const Secret& password, PasswordCost cost) {
  try {
    Botan::AutoSeeded_RNG random;
    return Botan::argon2_generate_pwhash(password.reveal().data(), password.size(), random, kLanes,
                                         cost.memory_kib, cost.passes);
  } catch (const std::exception& error) {
    return fail(Code::unavailable,
                std::string("Botan could not run Argon2id, which needs 64 MiB of free memory: ") +
                    error.what());
  }
}

bool password_fits(const Secret& password, std::string_view hash) {
  try {
    return Botan::argon2_check_pwhash(password.reveal().data(), password.size(), std::string(hash));
  } catch (const std::exception&) {
    return false;
  }
}

std::string hash_of_nobody(PasswordCost cost) {
  return "$argon2id$v=19$m=" + std::to_string(cost.memory_kib) +
         ",t=" + std::to_string(cost.passes) + ",p=" + std::to_string(kLanes) + "$" +
         std::string(kSaltDigits, 'A') + "$" + std::string(kHashDigits, 'A');
}

}  // namespace deepmoat::crypto
