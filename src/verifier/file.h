// Reading files and the folder of a log. Reads copy, so a server may write meanwhile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "verifier/result.h"

namespace deepmoat::verifier {

// An open regular file. One thread at a time.
class File {
 public:
  // Follows no symbolic link. Fault::not_there, Fault::unreadable; malformed for what is no file.
  static Result<File> open(const std::filesystem::path& path);
  File() = default;
  ~File();
  File(File&& other) noexcept { *this = std::move(other); }
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(bytes_, other.bytes_);
    std::swap(path_, other.path_);
    return *this;
  }

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // Reads exactly `bytes`; malformed when the file has become shorter.
  [[nodiscard]] Result<> read(std::uint64_t offset, char* out, std::size_t bytes) const;
  // At most `bytes_max` from `offset`.
  [[nodiscard]] Result<std::string> read(std::uint64_t offset, std::size_t bytes_max) const;

 private:
  int fd_ = -1;
  std::uint64_t bytes_ = 0;  // when it was opened
  std::filesystem::path path_;
};

// A small file as a whole; malformed when it is longer than `bytes_max`.
[[nodiscard]] Result<std::string> read_small_file(const std::filesystem::path& path,
                                                  std::size_t bytes_max);

// "audit-000000000001.seg", "audit-000000000001.kept"
[[nodiscard]] std::string segment_name(std::uint64_t number);
[[nodiscard]] std::string kept_name(std::uint64_t number);

// The segments of a folder, `.seg` or `.kept`, which are numbered 1..result without a gap.
// malformed names the missing one, or a file whose name only looks like a segment's.
[[nodiscard]] Result<std::uint64_t> count_segments(const std::filesystem::path& folder);

// One segment or what retention left of it.
struct SegmentFile {
  File file;
  std::uint64_t number = 0;
  bool kept = false;

  // Where a `.kept` stands it counts, whatever else there is.
  static Result<SegmentFile> open(const std::filesystem::path& folder, std::uint64_t number);
  [[nodiscard]] std::string name() const { return kept ? kept_name(number) : segment_name(number); }
  // Reads from `offset` to the end over what `buffer` held there; `buffer` is the whole file
  // afterwards if it was before, or if offset is 0.
  [[nodiscard]] Result<> load(std::string& buffer, std::uint64_t offset = 0) const;
};

}  // namespace deepmoat::verifier
