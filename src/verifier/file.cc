// Files and the folder of a log, read only. Any thread, one a file.
#include "verifier/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <vector>

#include "verifier/bytes.h"
#include "verifier/segment.h"
#include "verifier/wording.h"

namespace deepmoat::verifier {

namespace {

constexpr std::string_view kPrefix = "audit-";
constexpr std::string_view kSegmentSuffix = ".seg";
constexpr std::string_view kKeptSuffix = ".kept";

std::unexpected<Error> fail_errno(const std::string& what) {
  const int error = errno;
  return fail(error == ENOENT ? Fault::not_there : Fault::unreadable,
              what + ": " + std::generic_category().message(error));
}

std::string name_of(std::uint64_t number, std::string_view suffix) {
  std::string digits = std::to_string(number);
  digits.insert(0, digits.size() < 12 ? 12 - digits.size() : 0, '0');
  return std::string(kPrefix).append(digits).append(suffix);
}

// 0 when `name` is not exactly what name_of() makes.
std::uint64_t number_of(std::string_view name, std::string_view suffix) {
  std::string_view digits = name;
  digits.remove_prefix(kPrefix.size());
  digits.remove_suffix(std::min(suffix.size(), digits.size()));
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  std::uint64_t number = 0;
  return read_decimal(digits, number) && name == name_of(number, suffix) ? number : 0;
}

}  // namespace

Result<File> File::open(const std::filesystem::path& path) {
  File file;
  file.path_ = path;
  file.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file.fd_ < 0) {
    return fail_errno("open " + path.string());
  }
  struct stat status{};
  if (::fstat(file.fd_, &status) != 0) {
    return fail_errno("stat " + path.string());
  }
  if (!S_ISREG(status.st_mode)) {
    return malformed(path.string() + " is not a regular file");
  }
  file.bytes_ = static_cast<std::uint64_t>(status.st_size);
  return file;
}

File::~File() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<> File::read(std::uint64_t offset, char* out, std::size_t bytes) const {
  while (bytes > 0) {
    const ssize_t got = ::pread(fd_, out, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return fail_errno("read " + path_.string());
    }
    if (got == 0) {
      return malformed(path_.string() + " became shorter while it was read");
    }
    out += got;
    bytes -= static_cast<std::size_t>(got);
    offset += static_cast<std::uint64_t>(got);
  }
  return {};
}

Result<std::string> File::read(std::uint64_t offset, std::size_t bytes_max) const {
  std::string bytes(std::min<std::uint64_t>(bytes_max, bytes_ - std::min(offset, bytes_)), '\0');
  if (auto done = read(offset, bytes.data(), bytes.size()); !done) {
    return std::unexpected(std::move(done).error());
  }
  return bytes;
}

Result<std::string> read_small_file(const std::filesystem::path& path, std::size_t bytes_max) {
  auto file = File::open(path);
  if (!file) {
    return std::unexpected(std::move(file).error());
  }
  if (file->bytes() > bytes_max) {
    return malformed(path.string() + " is longer than " + std::to_string(bytes_max) + " bytes");
  }
  return file->read(0, bytes_max);
}

std::string segment_name(std::uint64_t number) {
  return name_of(number, kSegmentSuffix);
}

std::string kept_name(std::uint64_t number) {
  return name_of(number, kKeptSuffix);
}

Result<std::uint64_t> count_segments(const std::filesystem::path& folder) {
  std::vector<std::uint64_t> numbers;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error) {
    return fail(
        error == std::errc::no_such_file_or_directory ? Fault::not_there : Fault::unreadable,
        "audit folder " + folder.string() + ": " + error.message());
  }
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    const std::string_view suffix = name.ends_with(kKeptSuffix) ? kKeptSuffix : kSegmentSuffix;
    if (!name.starts_with(kPrefix) || !name.ends_with(suffix)) {
      continue;
    }
    const std::uint64_t number = number_of(name, suffix);
    if (number == 0) {
      return malformed((folder / printable(name)).string() +
                       " is named like a segment but is none");
    }
    numbers.push_back(number);
  }
  if (error) {
    return fail(Fault::unreadable, "list " + folder.string() + ": " + error.message());
  }
  std::ranges::sort(numbers);
  const auto twice = std::ranges::unique(numbers);  // .seg beside .kept
  numbers.erase(twice.begin(), twice.end());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] != i + 1) {
      return malformed("segment " + (folder / segment_name(i + 1)).string() +
                       " is missing, but segment " + std::to_string(numbers[i]) + " is there");
    }
  }
  return numbers.size();
}

Result<SegmentFile> SegmentFile::open(const std::filesystem::path& folder, std::uint64_t number) {
  SegmentFile segment;
  segment.number = number;
  // Thrice: retention puts a `.kept` there and then removes the `.seg`.
  for (const bool kept : {true, false, true}) {
    segment.kept = kept;
    auto file = File::open(folder / segment.name());
    if (!file) {
      if (file.error().fault == Fault::not_there) {
        continue;
      }
      return std::unexpected(std::move(file).error());
    }
    segment.file = *std::move(file);
    const std::uint64_t bytes = segment.file.bytes();
    const bool fits =
        kept ? bytes >= kHeaderBytes + kKeptEndBytes && bytes <= kSegmentBytesMax
             : bytes >= kSegmentBytesMin && bytes <= kSegmentBytesMax && bytes % kPageBytes == 0;
    if (!fits) {
      return malformed(segment.file.path().string() +
                       " is not a segment: " + counted(bytes, "byte"));
    }
    return segment;
  }
  return fail(Fault::not_there, "open " + (folder / segment_name(number)).string() +
                                    ": neither it nor its .kept is there");
}

Result<> SegmentFile::load(std::string& buffer, std::uint64_t offset) const {
  buffer.resize(file.bytes());
  return file.read(offset, buffer.data() + offset, file.bytes() - offset);
}

}  // namespace deepmoat::verifier
