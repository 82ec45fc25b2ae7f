// A QR code for the terminal, so that a telephone can read a secret that nobody should type.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace deepmoat::cli {

// Lines of half blocks, two rows of the code to a line, black on white whatever the terminal's
// colours are, with the margin that readers need. Code::invalid_argument for too much text.
[[nodiscard]] Result<std::string> qr_code(std::string_view text);

}  // namespace deepmoat::cli
