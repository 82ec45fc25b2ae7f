// The rights of a secret's file are checked on the open descriptor, so that nobody can swap the
// file between check and read.
#include "crypto/private_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/file.h"

namespace deepmoat::crypto {

namespace {

constexpr unsigned kModeBits = 07777;

Result<> check_rights(int fd, const std::filesystem::path& path) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    return fail_errno(Code::io, "stat " + path.string());
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(Code::permission_denied, path.string() + " is not a regular file");
  }
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    return fail(Code::permission_denied,
                fmt::format("{0} belongs to user {1}, not to the user of this program ({2}): "
                            "chown {2} {0}",
                            path.string(), status.st_uid, ::geteuid()));
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return fail(Code::permission_denied,
                fmt::format("{0} holds secrets and has mode {1:04o}, so others can use it: "
                            "chmod 600 {0}",
                            path.string(), status.st_mode & kModeBits));
  }
  return {};
}

Result<Secret> read_all(const UniqueFd& file, const std::filesystem::path& path,
                        std::size_t bytes_max) {
  std::string bytes(bytes_max + 1, '\0');  // one allocation: no stray copies of secret bytes
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return fail_errno(Code::io, "read " + path.string());
    }
    if (got == 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  Secret whole(std::move(bytes));
  if (size > bytes_max) {
    return fail(Code::corrupt, fmt::format("{} is larger than {} bytes", path.string(), bytes_max));
  }
  return Secret::copy_of(whole.reveal().substr(0, size));
}

}  // namespace

Result<Secret> read_private_file(const std::filesystem::path& path, std::size_t bytes_max) {
  TRY(const UniqueFd file, open_file(path, O_RDONLY | O_NONBLOCK));  // a FIFO must not hang us
  CHECK_OK(check_rights(file.get(), path));
  return read_all(file, path, bytes_max);
}

Result<Secret> read_secret_file(const std::filesystem::path& path, std::size_t bytes_max) {
  TRY(const UniqueFd file, open_file(path, O_RDONLY));
  return read_all(file, path, bytes_max);
}

}  // namespace deepmoat::crypto
