// The disk of the operating system.
#include "audit/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"

namespace deepmoat::audit {

namespace {

constexpr std::uint64_t kFillBytes = 256 * 1024;

// Real zeros, not a hole: a later write into them changes no metadata, so that its fdatasync waits
// for the data alone. Piece by piece, each on its way to the disk before the next: one sync of it
// all at the end would hold up the commits that run beside this.
Result<> fill_with_zeros(int fd, std::uint64_t bytes) {
  const std::string zeros(std::min(bytes, kFillBytes), '\0');
  constexpr unsigned kWriteAndWait = SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  for (std::uint64_t offset = 0; offset < bytes; offset += zeros.size()) {
    const std::uint64_t piece = std::min<std::uint64_t>(zeros.size(), bytes - offset);
    const auto start = static_cast<off_t>(offset);
    CHECK_OK(write_all_at(fd, std::string_view(zeros).substr(0, piece), start));
    if (::sync_file_range(fd, start, static_cast<off_t>(piece), kWriteAndWait) != 0 &&
        errno != ENOSYS) {
      return fail_errno(Code::io, "sync_file_range");
    }
  }
  return {};
}

class SystemFile final : public DiskFile {
 public:
  SystemFile(UniqueFd file, std::filesystem::path path, bool created)
      : file_(std::move(file)), path_(std::move(path)), created_(created) {}

  Result<> write_at(std::string_view bytes, std::uint64_t offset) override {
    return write_all_at(file_.get(), bytes, static_cast<off_t>(offset));
  }
  Result<> sync() override {
    if ((created_ ? ::fsync(file_.get()) : ::fdatasync(file_.get())) != 0) {
      return fail_errno(Code::io, (created_ ? "fsync " : "fdatasync ") + path_.string());
    }
    created_ = false;
    return {};
  }

 private:
  const UniqueFd file_;
  const std::filesystem::path path_;
  bool created_;
};

class SystemReader final : public DiskReader {
 public:
  SystemReader(UniqueFd file, std::filesystem::path path, std::uint64_t bytes)
      : file_(std::move(file)), path_(std::move(path)), bytes_(bytes) {}

  std::uint64_t bytes() const override { return bytes_; }
  Result<> read_at(char* out, std::size_t bytes, std::uint64_t offset) const override {
    while (bytes > 0) {
      const ssize_t got = ::pread(file_.get(), out, bytes, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        return fail_errno(Code::io, "read " + path_.string());
      }
      if (got == 0) {
        return fail(Code::corrupt, path_.string() + " became shorter while it was read");
      }
      out += got;
      bytes -= static_cast<std::size_t>(got);
      offset += static_cast<std::uint64_t>(got);
    }
    return {};
  }

 private:
  const UniqueFd file_;
  const std::filesystem::path path_;
  const std::uint64_t bytes_;
};

class SystemDisk final : public Disk {
 public:
  Result<std::vector<std::string>> list(const std::filesystem::path& folder) override {
    std::error_code error;
    std::vector<std::string> names;
    std::filesystem::directory_iterator entries(folder, error);
    if (error) {
      return fail(error == std::errc::no_such_file_or_directory ? Code::not_found : Code::io,
                  "audit folder " + folder.string() + ": " + error.message());
    }
    for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
      names.push_back(entries->path().filename().string());
    }
    if (error) {
      return fail(Code::io, "list " + folder.string() + ": " + error.message());
    }
    return names;
  }

  bool exists(const std::filesystem::path& path) override {
    return ::access(path.c_str(), F_OK) == 0;
  }

  Result<std::unique_ptr<DiskReader>> open(const std::filesystem::path& path) override {
    TRY(UniqueFd file, open_file(path, O_RDONLY | O_NOFOLLOW));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) {
      return fail_errno(Code::io, "stat " + path.string());
    }
    if (!S_ISREG(status.st_mode)) {
      return fail(Code::corrupt, path.string() + " is no file");
    }
    return std::make_unique<SystemReader>(std::move(file), path,
                                          static_cast<std::uint64_t>(status.st_size));
  }

  Result<std::unique_ptr<DiskFile>> open_to_write(const std::filesystem::path& path) override {
    TRY(UniqueFd file, open_file(path, O_WRONLY | O_NOFOLLOW));
    return std::make_unique<SystemFile>(std::move(file), path, false);
  }

  Result<std::unique_ptr<DiskFile>> create(const std::filesystem::path& path,
                                           std::uint64_t bytes) override {
    TRY(UniqueFd file, open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
    if (auto filled = fill_with_zeros(file.get(), bytes); !filled) {
      ::unlink(path.c_str());  // gives the space back
      return fail(filled.error().code, path.string() + ": " + filled.error().message);
    }
    return std::make_unique<SystemFile>(std::move(file), path, true);
  }

  Result<> rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0
               ? Result<>()
               : fail_errno(Code::io, "rename " + from.string());
  }

  Result<> remove(const std::filesystem::path& path) override {
    return ::unlink(path.c_str()) == 0 || errno == ENOENT
               ? Result<>()
               : fail_errno(Code::io, "remove " + path.string());
  }

  Result<> sync_folder(const std::filesystem::path& folder) override {
    return sync_directory(folder);
  }
};

}  // namespace

Disk& system_disk() {
  static SystemDisk disk;
  return disk;
}

}  // namespace deepmoat::audit
