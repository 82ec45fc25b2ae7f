#include "cli/child_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace deepmoat::cli {

namespace {

constexpr std::size_t kSaidBytesMax = 400;

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) {
    pointers.push_back(const_cast<char*>(text.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// The beginning of what it wrote to standard error, on one line.
std::string said(int errors) {
  std::string text(kSaidBytesMax, '\0');
  const ssize_t got = ::pread(errors, text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  for (char& c : text) {
    c = static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return text;
}

}  // namespace

Result<ChildOutput> ChildOutput::start(const std::vector<std::string>& arguments,
                                       const std::vector<std::string>& environment) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return fail_errno(Code::resource_exhausted, "pipe");
  }
  ChildOutput made;
  made.program_ = arguments.front();
  made.output_.reset(ends[0]);
  const UniqueFd theirs(ends[1]);
  made.errors_.reset(::memfd_create("errors", MFD_CLOEXEC));
  if (!made.errors_.valid()) {
    return fail_errno(Code::resource_exhausted, "memfd_create");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, made.errors_.get(), STDERR_FILENO);
  const int error = ::posix_spawnp(&made.child_, arguments[0].c_str(), &actions, nullptr,
                                   pointers_to(arguments).data(), pointers_to(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    made.child_ = -1;
    errno = error;
    return error == ENOENT
               ? fail(Code::not_found, "the program " + arguments[0] + " is not installed")
               : fail_errno(Code::unavailable, "start " + arguments[0]);
  }
  return made;
}

ChildOutput::ChildOutput(ChildOutput&& other) noexcept
    : program_(std::move(other.program_)),
      child_(std::exchange(other.child_, -1)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)) {}

ChildOutput::~ChildOutput() {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

Result<std::size_t> ChildOutput::read(std::span<char> buffer) {
  for (;;) {
    const ssize_t got = ::read(output_.get(), buffer.data(), buffer.size());
    if (got >= 0) {
      return static_cast<std::size_t>(got);
    }
    if (errno != EINTR) {
      return fail_errno(Code::io, "read what " + program_ + " prints");
    }
  }
}

Result<> ChildOutput::finish() {
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0) {
    if (errno != EINTR) {
      return fail_errno(Code::io, "wait for " + program_);
    }
  }
  child_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail(Code::unavailable,
                fmt::format("{} did not end well: {}", program_, said(errors_.get())));
  }
  return {};
}

}  // namespace deepmoat::cli
