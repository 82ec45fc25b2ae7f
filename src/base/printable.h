// Text from outside on its way to a terminal: a path, a label, what another program said. A
// terminal obeys control characters, so none may reach it.
#pragma once

#include <string>
#include <string_view>

namespace deepmoat {

// UTF-8 without control characters: neither those below the space, DEL and C1 (U+0080 to U+009F),
// nor those that end a line or turn its direction (U+2028 to U+202E, U+2066 to U+2069).
[[nodiscard]] bool is_printable(std::string_view text);

// The same text with a '?' for each character, or byte that is part of none, which is not.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace deepmoat
