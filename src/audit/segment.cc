// Segment files on disk. prepare_segment() runs on the log's preparing thread, the rest anywhere.
#include "audit/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace deepmoat::audit {

namespace {

constexpr std::string_view kPrefix = "audit-";
constexpr std::string_view kSuffix = ".seg";
constexpr std::string_view kUnfinishedSuffix = ".seg.new";
constexpr std::uint64_t kFillBytes = 256 * 1024;

// 0 when `name` is not exactly what segment_name() makes.
std::uint64_t number_of(const std::string& name) {
  std::uint64_t number = 0;
  const char* const start = name.data() + std::min(kPrefix.size(), name.size());
  std::from_chars(start, name.data() + name.size(), number);
  return name == segment_name(number) ? number : 0;
}

Result<> read_at(int fd, char* out, std::size_t bytes, std::uint64_t offset,
                 const std::filesystem::path& path) {
  while (bytes > 0) {
    const ssize_t got = ::pread(fd, out, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return fail_errno(Code::io, "read " + path.string());
    }
    if (got == 0) {
      return fail(Code::corrupt, path.string() + " became shorter while it was read");
    }
    out += got;
    bytes -= static_cast<std::size_t>(got);
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

// Piece by piece, each on its way to the disk before the next: one sync of it all at the end would
// hold up the commits that run beside this.
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

}  // namespace

std::string segment_name(std::uint64_t number) {
  return fmt::format("{}{:012}{}", kPrefix, number, kSuffix);
}

Result<std::uint64_t> count_segments(const std::filesystem::path& directory) {
  std::vector<std::uint64_t> numbers;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error) {
    return fail(error == std::errc::no_such_file_or_directory ? Code::not_found : Code::io,
                "audit folder " + directory.string() + ": " + error.message());
  }
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) {
      continue;
    }
    const std::uint64_t number = number_of(name);
    if (number == 0) {
      return fail(Code::corrupt, entries->path().string() + " is named like a segment but is none");
    }
    numbers.push_back(number);
  }
  if (error) {
    return fail(Code::io, "list " + directory.string() + ": " + error.message());
  }
  std::ranges::sort(numbers);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] != i + 1) {
      return fail(Code::corrupt,
                  fmt::format("segment {} is missing, but segment {} is there",
                              (directory / segment_name(i + 1)).string(), numbers[i]));
    }
  }
  return numbers.size();
}

Result<SegmentFile> SegmentFile::open(const std::filesystem::path& directory,
                                      std::uint64_t number) {
  SegmentFile segment;
  segment.path_ = directory / segment_name(number);
  segment.number_ = number;
  TRY(segment.file_, open_file(segment.path_, O_RDONLY | O_NOFOLLOW));
  struct stat status{};
  if (::fstat(segment.file_.get(), &status) != 0) {
    return fail_errno(Code::io, "stat " + segment.path_.string());
  }
  segment.bytes_ = static_cast<std::uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || segment.bytes_ < kSegmentBytesMin ||
      segment.bytes_ > kSegmentBytesMax || segment.bytes_ % kSegmentPageBytes != 0) {
    return fail(Code::corrupt, fmt::format("{} is not a segment: {} bytes", segment.path_.string(),
                                           segment.bytes_));
  }
  return segment;
}

Result<> SegmentFile::load(std::string& buffer, std::uint64_t offset) const {
  buffer.resize(bytes_);
  return read_at(file_.get(), buffer.data() + offset, bytes_ - offset, offset, path_);
}

Result<std::string> SegmentFile::read(std::uint64_t offset, std::size_t bytes_max) const {
  std::string bytes(std::min<std::uint64_t>(bytes_max, bytes_ - std::min(offset, bytes_)), '\0');
  CHECK_OK(read_at(file_.get(), bytes.data(), bytes.size(), offset, path_));
  return bytes;
}

const char* check_segment_header(const SegmentFile& file, std::string_view bytes,
                                 const ChainState* before, SegmentHeader& header) {
  if (const char* why = parse_segment_header(bytes, header); why != nullptr) {
    return why;
  }
  if (header.number != file.number()) {
    return "the segment's number is not its file name's";
  }
  if (header.segment_bytes != file.bytes()) {
    return "the file's length is not the one in its header";
  }
  const ChainState beginning;
  if (file.number() == 1) {
    before = &beginning;
  }
  if (before != nullptr && (header.first_sequence != before->next_sequence ||
                            header.previous_hash != before->last_hash)) {
    return "the segment does not continue the one before it";
  }
  return nullptr;
}

Result<> prepare_segment(const std::filesystem::path& directory, std::uint64_t number,
                         std::uint64_t segment_bytes) {
  const std::filesystem::path path = directory / segment_name(number);
  const std::filesystem::path unfinished =
      directory / fmt::format("{}{:012}{}", kPrefix, number, kUnfinishedSuffix);
  TRY(const UniqueFd file, open_file(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW));
  // Real zeros, not a hole: a later write into them changes no metadata, so that its fdatasync
  // waits for the data alone.
  if (auto filled = fill_with_zeros(file.get(), segment_bytes); !filled) {
    ::unlink(unfinished.c_str());  // gives the space back
    return fail(filled.error().code, unfinished.string() + ": " + filled.error().message);
  }
  if (::fsync(file.get()) != 0) {
    auto failure = fail_errno(Code::io, "fsync " + unfinished.string());
    ::unlink(unfinished.c_str());
    return failure;
  }
  if (::rename(unfinished.c_str(), path.c_str()) != 0) {
    return fail_errno(Code::io, "rename " + unfinished.string());
  }
  return sync_directory(directory);
}

Result<> remove_unfinished_segments(const std::filesystem::path& directory) {
  std::error_code error;
  std::vector<std::filesystem::path> unfinished;
  std::filesystem::directory_iterator entries(directory, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (name.starts_with(kPrefix) && name.ends_with(kUnfinishedSuffix)) {
      unfinished.push_back(entries->path());
    }
  }
  for (const auto& path : unfinished) {
    if (!error) {
      std::filesystem::remove(path, error);
    }
  }
  if (error) {
    return fail(Code::io, "audit folder " + directory.string() + ": " + error.message());
  }
  return {};
}

}  // namespace deepmoat::audit
