// Known-answer tests of the primitives that keys and the audit log rest on. A server runs them
// before it serves: a broken CPU feature or a wrong library must not be found by an attacker.
#pragma once

#include "base/result.h"

namespace deepmoat::crypto {

// SHA-256, HMAC-SHA-256 (both code paths), AES-256-GCM, CRC-32 and Ed25519 against published
// vectors.
// Code::internal names the one that fails.
[[nodiscard]] Result<> self_test();

}  // namespace deepmoat::crypto
