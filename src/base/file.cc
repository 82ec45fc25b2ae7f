#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>

namespace deepmoat {

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) {
    ::close(fd_);
  }
  fd_ = fd;
}

Result<UniqueFd> open_file(const std::filesystem::path& path, int flags, mode_t mode) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    const Code code = errno == ENOENT   ? Code::not_found
                      : errno == EEXIST ? Code::already_exists
                                        : Code::io;
    return fail_errno(code, "open " + path.string());
  }
  return UniqueFd(fd);
}

Result<std::string> read_file(const std::filesystem::path& path, std::size_t bytes_max) {
  TRY(const UniqueFd file, open_file(path, O_RDONLY));
  std::string bytes;
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return fail_errno(Code::io, "read " + path.string());
    }
    if (got == 0) {
      return bytes;
    }
    bytes.append(buffer, static_cast<std::size_t>(got));
    if (bytes.size() > bytes_max) {
      return fail(Code::invalid_argument,
                  path.string() + " is larger than " + std::to_string(bytes_max) + " bytes");
    }
  }
}

Result<> write_all_at(int fd, std::string_view bytes, off_t offset) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0) {
      return fail_errno(Code::io, "write");
    }
    if (put == 0) {
      return fail(Code::io, "write: the file took no bytes");
    }
    bytes.remove_prefix(static_cast<std::size_t>(put));
    offset += put;
  }
  return {};
}

namespace {

Result<> write_new_file(const std::filesystem::path& path, std::string_view bytes, mode_t mode) {
  TRY(const UniqueFd file, open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  CHECK_OK(write_all_at(file.get(), bytes, 0));
  if (::fchmod(file.get(), mode) != 0 || ::fsync(file.get()) != 0) {
    return fail_errno(Code::io, "write " + path.string());
  }
  return {};
}

}  // namespace

Result<> write_file_atomic(const std::filesystem::path& path, std::string_view bytes, mode_t mode) {
  const std::filesystem::path temporary = path.string() + ".new";
  auto done = write_new_file(temporary, bytes, mode);
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) {
    done = fail_errno(Code::io, "rename " + temporary.string());
  }
  if (!done) {
    ::unlink(temporary.c_str());  // half of a secret, perhaps
    return done;
  }
  return sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

Result<> sync_directory(const std::filesystem::path& path) {
  TRY(const UniqueFd folder, open_file(path, O_RDONLY | O_DIRECTORY));
  if (::fsync(folder.get()) != 0) {
    return fail_errno(Code::io, "fsync " + path.string());
  }
  return {};
}

Result<> make_directory(const std::filesystem::path& path, mode_t mode) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return {};
  }
  std::filesystem::create_directories(path, error);
  if (error) {
    return fail(Code::io, "create folder " + path.string() + ": " + error.message());
  }
  if (::chmod(path.c_str(), mode) != 0) {
    return fail_errno(Code::io, "chmod " + path.string());
  }
  return {};
}

Result<UniqueFd> lock_file(const std::filesystem::path& path) {
  TRY(UniqueFd file, open_file(path, O_RDWR | O_CREAT));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(Code::already_exists, path.string() + " is locked by another process");
    }
    return fail_errno(Code::io, "flock " + path.string());
  }
  // Only a help: a full disk keeps nobody from the lock.
  const std::string id = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file.get(), 0) == 0) {
    (void)write_all_at(file.get(), id, 0);
  }
  return file;
}

int holder_of_lock(const std::filesystem::path& path) {
  constexpr std::size_t kDigitsMax = 16;
  const auto text = read_file(path, kDigitsMax);
  int id = 0;
  if (text) {
    std::from_chars(text->data(), text->data() + text->size(), id);
  }
  return id;
}

}  // namespace deepmoat
