#include "cli/prompt.h"

#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

namespace deepmoat::cli {

namespace {

// Nothing that is typed is shown while it lives.
class Silence {
 public:
  Silence() {
    held_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    held_ = held_ && ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
  }
  ~Silence() {
    if (held_) {
      ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);  // what is typed ahead stays
      fmt::print(stderr, "\n");
    }
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  termios before_{};
  bool held_ = false;
};

Result<Secret> read_line() {
  std::string line;
  if (!std::getline(std::cin, line)) {
    return fail(Code::cancelled, "nothing was entered");
  }
  return Secret(std::move(line));
}

}  // namespace

bool can_ask() {
  return ::isatty(STDIN_FILENO) == 1;
}

Result<Secret> ask(const std::string& question, const std::string& option, Echo echo) {
  if (!can_ask()) {
    return fail(Code::invalid_argument, option + " is missing, and there is no terminal to ask on");
  }
  fmt::print(stderr, "{}: ", question);
  if (echo == Echo::on) {
    return read_line();
  }
  const Silence silence;
  return read_line();
}

}  // namespace deepmoat::cli
