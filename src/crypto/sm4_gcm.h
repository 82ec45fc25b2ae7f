// SM4-GCM over Botan; reached through Aead::make().
#pragma once

#include <memory>

#include "crypto/aead.h"

namespace deepmoat::crypto {

// `key` has kSm4KeyBytes.
[[nodiscard]] Result<std::unique_ptr<Aead>> make_sm4_gcm(const Secret& key);

}  // namespace deepmoat::crypto
