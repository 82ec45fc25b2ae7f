// Base64 with padding (RFC 4648, section 4), over OpenSSL. Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace deepmoat::crypto {

[[nodiscard]] std::string to_base64(std::string_view bytes);
// Nothing for a text that is not exactly what to_base64() writes.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace deepmoat::crypto
