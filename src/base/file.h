// The door to the file system: descriptors that close themselves, whole-file reads, atomic writes.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace deepmoat {

// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC; retries EINTR.
[[nodiscard]] Result<UniqueFd> open_file(const std::filesystem::path& path, int flags,
                                         mode_t mode = 0600);

// Reads all of a file of at most `bytes_max` bytes.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path,
                                            std::size_t bytes_max);

// Writes the whole of `bytes` at `offset`; retries EINTR and short writes.
[[nodiscard]] Result<> write_all_at(int fd, std::string_view bytes, off_t offset);

// Replaces `path` by a file with `bytes`: temporary file, fsync, rename, fsync of the folder.
// After a crash there is either the old file or the new one, whole.
[[nodiscard]] Result<> write_file_atomic(const std::filesystem::path& path, std::string_view bytes,
                                         mode_t mode);

// Makes a folder's entries durable.
[[nodiscard]] Result<> sync_directory(const std::filesystem::path& path);

// Creates `path` and its parents with `mode` for the last one.
[[nodiscard]] Result<> make_directory(const std::filesystem::path& path, mode_t mode);

// An exclusive flock(2) on `path`, held while the object lives. Code::already_exists when another
// process holds it. The file has the holder's process id in it, for people.
[[nodiscard]] Result<UniqueFd> lock_file(const std::filesystem::path& path);
// That id, of a lock that is held; 0: it cannot be told.
[[nodiscard]] int holder_of_lock(const std::filesystem::path& path);

}  // namespace deepmoat
