// Lower-case hexadecimal.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace deepmoat {

[[nodiscard]] std::string to_hex(std::string_view bytes);

// Accepts lower-case digits only, so that one value has one spelling.
[[nodiscard]] Result<std::string> from_hex(std::string_view text);

}  // namespace deepmoat
