// Questions on the terminal, for what an option did not say.
#pragma once

#include <string>

#include "base/result.h"
#include "base/secret.h"

namespace deepmoat::cli {

[[nodiscard]] bool can_ask();  // standard input is a terminal

enum class Echo : std::uint8_t { on, off };

// Asks on standard error and reads one line. Code::invalid_argument, naming `option`, when there is
// no terminal to ask on.
[[nodiscard]] Result<Secret> ask(const std::string& question, const std::string& option, Echo echo);

}  // namespace deepmoat::cli
