#include "cli/model_job.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>

#include "base/file.h"
#include "base/hex.h"
#include "crypto/digest.h"

namespace deepmoat::cli {

namespace {

constexpr int kExitIllegal = 86;  // worker/options.h, which is another program's
constexpr std::size_t kChunkBytes = 1U << 20U;
constexpr std::size_t kLineBytesMax = 1U << 20U;
constexpr std::string_view kIncomingPrefix = ".incoming-";

// A signal handler can reach nothing else.
std::atomic<bool>& interrupt_flag() {
  static std::atomic<bool> flag = false;
  return flag;
}

std::unexpected<Error> cancelled() {
  return fail(Code::cancelled, "interrupted; nothing was imported");
}

// Files of imports whose process is gone.
void remove_leftovers(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    if (!name.starts_with(kIncomingPrefix)) {
      continue;
    }
    const char* begin = name.data() + kIncomingPrefix.size();
    std::from_chars(begin, name.data() + name.size(), pid);
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) {
      std::filesystem::remove_all(entry.path(), error);
    }
  }
}

// What a child said so far, cut into lines.
class Lines {
 public:
  explicit Lines(int fd) : fd_(fd) {}

  // Empty text: the end. Code::cancelled on Ctrl-C.
  Result<std::string> next() {
    for (;;) {
      const std::size_t end = buffer_.find('\n');
      if (end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line.empty() ? " " : line;
      }
      char bytes[4096];
      const ssize_t count = ::read(fd_, bytes, sizeof bytes);
      if (interrupted()) {
        return cancelled();
      }
      if (count == 0 || buffer_.size() > kLineBytesMax) {
        return std::string();
      }
      if (count > 0) {
        buffer_.append(bytes, static_cast<std::size_t>(count));
      } else if (errno != EINTR) {
        return fail_errno(Code::io, "read from the worker");
      }
    }
  }

 private:
  int fd_;
  std::string buffer_;
};

[[noreturn]] void become(const std::vector<std::string>& command, int output) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(output, STDOUT_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : command) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

Result<Json> listen(int fd, const std::string& title, std::string& variant) {
  ProgressLine progress(title);
  Lines lines(fd);
  Json answer;
  for (;;) {
    TRY(const std::string line, lines.next());
    if (line.empty()) {
      return answer;
    }
    Json json = Json::parse(line, nullptr, false);
    if (json.is_object() && json.contains("progress")) {
      progress.update(json["progress"].get<double>());
    } else if (json.is_object() && json.contains("cpu_variant") && json.size() == 1) {
      variant = json["cpu_variant"].get<std::string>();
    } else if (json.is_object()) {
      answer = std::move(json);
    }
  }
}

}  // namespace

ProgressLine::ProgressLine(std::string title)
    : title_(std::move(title)), terminal_(!title_.empty() && ::isatty(STDERR_FILENO) == 1) {
  update(0);
}

ProgressLine::~ProgressLine() {
  if (terminal_) {
    fmt::print(stderr, "\r\033[K");
  }
}

void ProgressLine::update(double fraction) {
  const int percent = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100);
  if (terminal_ && percent != percent_) {
    percent_ = percent;
    fmt::print(stderr, "\r\033[K{}: {} %", title_, percent);
    std::fflush(stderr);
  }
}

void take_interrupts() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupt_flag() = true; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaction(signal, &action, nullptr);
  }
}

bool interrupted() {
  return interrupt_flag();
}

Result<IncomingFile> IncomingFile::make(const std::filesystem::path& folder,
                                        const std::string& ending) {
  CHECK_OK(make_directory(folder, 0700));
  remove_leftovers(folder);
  for (int number = 0;; ++number) {
    auto path = folder / fmt::format("{}{}-{}{}", kIncomingPrefix, ::getpid(), number, ending);
    auto file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file) {
      return IncomingFile(std::move(path));
    }
    if (!std::filesystem::exists(path)) {
      return std::unexpected(file.error());
    }
  }
}

IncomingFile::IncomingFile(IncomingFile&& other) noexcept : path_(std::move(other.path_)) {
  other.path_.clear();
}

IncomingFile& IncomingFile::operator=(IncomingFile&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

IncomingFile::~IncomingFile() {
  if (!path_.empty()) {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
}

Result<std::string> digest_files(const std::vector<std::filesystem::path>& files,
                                 const std::string& title, const std::filesystem::path& copy) {
  std::uint64_t total = 0;
  for (const auto& path : files) {
    std::error_code ignored;
    total += std::filesystem::file_size(path, ignored);
  }
  UniqueFd out;
  if (!copy.empty()) {
    TRY(out, open_file(copy, O_WRONLY | O_TRUNC));
  }
  ProgressLine progress(title);
  crypto::Sha256 digest;
  std::string chunk(kChunkBytes, '\0');
  std::uint64_t done = 0;
  for (const auto& path : files) {
    TRY(const UniqueFd file, open_file(path, O_RDONLY));
    for (;;) {
      const ssize_t count = ::read(file.get(), chunk.data(), chunk.size());
      if (interrupted()) {
        return cancelled();
      }
      if (count < 0 && errno != EINTR) {
        return fail_errno(Code::io, "read " + path.string());
      }
      if (count == 0) {
        break;
      }
      const std::string_view bytes(chunk.data(),
                                   static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
      digest.update(bytes);
      if (out.valid()) {
        CHECK_OK(write_all_at(out.get(), bytes, static_cast<off_t>(done)));
      }
      done += bytes.size();
      progress.update(total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0);
    }
  }
  if (out.valid() && ::fsync(out.get()) != 0) {
    return fail_errno(Code::io, "sync " + copy.string());
  }
  return to_hex(crypto::view(digest.finish()));
}

Result<Json> run_job(const std::vector<std::string>& command, const std::string& title,
                     std::string* illegal) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) {
    return fail_errno(Code::io, "pipe");
  }
  const UniqueFd reading(pipe_ends[0]);
  UniqueFd writing(pipe_ends[1]);
  const pid_t child = ::fork();
  if (child < 0) {
    return fail_errno(Code::resource_exhausted, "fork");
  }
  if (child == 0) {
    become(command, writing.get());
  }
  writing.reset();
  std::string variant;
  Result<Json> answer = listen(reading.get(), title, variant);
  if (!answer) {
    ::kill(child, SIGKILL);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (interrupted()) {
    return cancelled();
  }
  if (!answer) {
    return answer;
  }
  if (illegal != nullptr && WIFEXITED(status) && WEXITSTATUS(status) == kExitIllegal) {
    *illegal = variant;
    return fail(Code::unavailable, "illegal instruction");
  }
  if (answer->is_object() && answer->contains("error")) {
    return fail(Code::invalid_argument, answer->at("error").get<std::string>());
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !answer->is_object()) {
    const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                                : fmt::format("status {}", WEXITSTATUS(status));
    return fail(Code::unavailable, command[0] + " ended without an answer (" + how + "): " + title);
  }
  return answer;
}

std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& first) {
  const std::string stem = first.stem().string();
  constexpr std::string_view kFirst = "-00001-of-";
  const std::size_t at = stem.rfind(kFirst);
  std::vector<std::filesystem::path> files{first};
  if (at == std::string::npos || stem.size() != at + kFirst.size() + 5) {
    return files;
  }
  std::error_code error;
  for (int number = 2;; ++number) {
    auto part = first;
    part.replace_filename(fmt::format("{}-{:05}-of-{}{}", stem.substr(0, at), number,
                                      stem.substr(at + kFirst.size()), first.extension().string()));
    if (!std::filesystem::exists(part, error)) {
      return files;
    }
    files.push_back(part);
  }
}

}  // namespace deepmoat::cli
