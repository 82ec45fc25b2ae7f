// Known-answer tests of the primitives that keys, envelope and audit log rest on. A server runs
// them before it serves: a broken CPU feature or a wrong library must not be found by an attacker.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace deepmoat::crypto {

// One published vector: what is computed, and what must come out.
struct KnownAnswer {
  std::string_view name;
  std::string answer;  // hex digits
  Result<std::string> (*compute)() = nullptr;
};

// SHA-256, HMAC-SHA-256 (both code paths), SM3, HMAC-SM3, AES-256-GCM and SM4-GCM sealing, opening
// and refusing, TOTP, Ed25519, CRC-32, constant-time comparison.
[[nodiscard]] std::vector<KnownAnswer> known_answers();

// Code::internal names the first that fails. Tests pass answers of their own, to see it refuse.
[[nodiscard]] Result<> self_test(const std::vector<KnownAnswer>& answers = known_answers());

}  // namespace deepmoat::crypto
