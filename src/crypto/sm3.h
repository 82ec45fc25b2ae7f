// SM3 (GB/T 32905) and HMAC-SM3, over OpenSSL: what SHA-256 is elsewhere, in the SM profile.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "crypto/digest.h"

namespace deepmoat::crypto {

// Code::internal when OpenSSL was built without SM3. Thread-safe.
[[nodiscard]] Result<Digest> sm3(std::string_view bytes);
[[nodiscard]] Result<Digest> hmac_sm3(const Secret& key, std::string_view bytes);

}  // namespace deepmoat::crypto
