// Base64 with padding (RFC 4648, 4), strictly: one text for each sequence of bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace deepmoat::verifier {

// Nothing for white space, missing padding, or bits set behind the last byte. Pure, any thread.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

[[nodiscard]] std::string to_base64(std::string_view bytes);

}  // namespace deepmoat::verifier
