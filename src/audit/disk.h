// The file system as the log uses it. The real one is system_disk(); tests have one that loses
// power (simulated_disk.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace deepmoat::audit {

// A file that is open for writing. One thread at a time.
class DiskFile {
 public:
  virtual ~DiskFile() = default;
  [[nodiscard]] virtual Result<> write_at(std::string_view bytes, std::uint64_t offset) = 0;
  // Waits until what was written is durable, and for a new file its length too.
  [[nodiscard]] virtual Result<> sync() = 0;
};

// A file that is open for reading. One thread at a time.
class DiskReader {
 public:
  virtual ~DiskReader() = default;
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;
  // Exactly `bytes` from `offset`. Code::corrupt when the file became shorter.
  [[nodiscard]] virtual Result<> read_at(char* out, std::size_t bytes,
                                         std::uint64_t offset) const = 0;
};

// Errors of all: Code::not_found, Code::io; the message names the file. Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;
  // Names in a folder, in no order.
  [[nodiscard]] virtual Result<std::vector<std::string>> list(
      const std::filesystem::path& folder) = 0;
  [[nodiscard]] virtual bool exists(const std::filesystem::path& path) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<DiskReader>> open(
      const std::filesystem::path& path) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<DiskFile>> open_to_write(
      const std::filesystem::path& path) = 0;
  // A new file of `bytes` zeros, or the emptied old one. Not durable before sync().
  [[nodiscard]] virtual Result<std::unique_ptr<DiskFile>> create(const std::filesystem::path& path,
                                                                 std::uint64_t bytes) = 0;
  // Durable only after sync_folder(), as the next one.
  [[nodiscard]] virtual Result<> rename(const std::filesystem::path& from,
                                        const std::filesystem::path& to) = 0;
  // A file that is not there is no error.
  [[nodiscard]] virtual Result<> remove(const std::filesystem::path& path) = 0;
  [[nodiscard]] virtual Result<> sync_folder(const std::filesystem::path& folder) = 0;
};

[[nodiscard]] Disk& system_disk();

}  // namespace deepmoat::audit
