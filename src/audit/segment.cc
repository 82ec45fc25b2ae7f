// Segment files on disk. prepare_segment() runs on the log's preparing thread, the rest anywhere.
#include "audit/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace deepmoat::audit {

namespace {

constexpr std::string_view kPrefix = "audit-";
constexpr std::string_view kSuffix = ".seg";
constexpr std::string_view kKeptSuffix = ".kept";
constexpr std::string_view kUnfinishedSuffix = ".new";

// 0 when `name` is not exactly what `spell` makes.
std::uint64_t number_of(const std::string& name, std::string (*spell)(std::uint64_t)) {
  std::uint64_t number = 0;
  const char* const start = name.data() + std::min(kPrefix.size(), name.size());
  std::from_chars(start, name.data() + name.size(), number);
  return name == spell(number) ? number : 0;
}

}  // namespace

std::string segment_name(std::uint64_t number) {
  return fmt::format("{}{:012}{}", kPrefix, number, kSuffix);
}

std::string kept_name(std::uint64_t number) {
  return fmt::format("{}{:012}{}", kPrefix, number, kKeptSuffix);
}

Result<std::uint64_t> count_segments(const std::filesystem::path& directory, Disk& disk) {
  TRY(const std::vector<std::string> names, disk.list(directory));
  std::vector<std::uint64_t> numbers;
  for (const std::string& name : names) {
    const bool segment = name.ends_with(kSuffix);
    if (!name.starts_with(kPrefix) || (!segment && !name.ends_with(kKeptSuffix))) {
      continue;
    }
    const std::uint64_t number = number_of(name, segment ? segment_name : kept_name);
    if (number == 0) {
      return fail(Code::corrupt,
                  (directory / name).string() + " is named like a segment but is none");
    }
    numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  const auto same = std::ranges::unique(numbers);  // a `.seg` that is to be removed
  numbers.erase(same.begin(), same.end());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] != i + 1) {
      return fail(Code::corrupt,
                  fmt::format("segment {} is missing, but segment {} is there",
                              (directory / segment_name(i + 1)).string(), numbers[i]));
    }
  }
  return numbers.size();
}

Result<SegmentFile> SegmentFile::open(const std::filesystem::path& directory, std::uint64_t number,
                                      Disk& disk) {
  SegmentFile segment;
  segment.number_ = number;
  // Three looks: retention may put the one in the place of the other between two of them.
  for (const bool kept : {true, false, true}) {
    segment.path_ = directory / (kept ? kept_name(number) : segment_name(number));
    auto opened = disk.open(segment.path_);
    if (opened) {
      segment.kept_ = kept;
      segment.reader_ = std::move(*opened);
      break;
    }
    if (opened.error().code != Code::not_found) {
      return std::unexpected(std::move(opened).error());
    }
  }
  if (segment.reader_ == nullptr) {
    return fail(Code::not_found, (directory / segment_name(number)).string() + " is not there");
  }
  if (segment.kept_) {
    return segment;
  }
  const std::uint64_t bytes = segment.bytes();
  if (bytes < kSegmentBytesMin || bytes > kSegmentBytesMax || bytes % kSegmentPageBytes != 0) {
    return fail(Code::corrupt,
                fmt::format("{} is not a segment: {} bytes", segment.path_.string(), bytes));
  }
  return segment;
}

Result<> SegmentFile::load(std::string& buffer) const {
  buffer.resize(bytes());
  return reader_->read_at(buffer.data(), bytes(), 0);
}

Result<std::string> SegmentFile::read(std::uint64_t offset, std::size_t bytes_max) const {
  std::string out(std::min<std::uint64_t>(bytes_max, bytes() - std::min(offset, bytes())), '\0');
  CHECK_OK(reader_->read_at(out.data(), out.size(), offset));
  return out;
}

const char* check_segment_header(const SegmentFile& file, std::string_view bytes,
                                 const ChainState* before, SegmentHeader& header) {
  if (const char* why = parse_segment_header(bytes, header); why != nullptr) {
    return why;
  }
  if (header.number != file.number()) {
    return "the segment's number is not its file name's";
  }
  if (!file.kept() && header.segment_bytes != file.bytes()) {
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
                         std::uint64_t segment_bytes, Disk& disk, std::string_view begin) {
  const std::filesystem::path path = directory / segment_name(number);
  const std::filesystem::path unfinished = path.string() + std::string(kUnfinishedSuffix);
  TRY(const std::unique_ptr<DiskFile> file, disk.create(unfinished, segment_bytes));
  Result<> written = begin.empty() ? Result<>() : file->write_at(begin, 0);
  if (written) {
    written = file->sync();
  }
  if (!written) {
    (void)disk.remove(unfinished);  // gives the space back; what counts is why it failed
    return written;
  }
  CHECK_OK(disk.rename(unfinished, path));
  return disk.sync_folder(directory);
}

namespace {

// Whole, so that the file which it replaces may go.
Result<> check_kept(const std::filesystem::path& directory, std::uint64_t number, Disk& disk) {
  TRY(const SegmentFile file, SegmentFile::open(directory, number, disk));
  std::string bytes;
  CHECK_OK(file.load(bytes));
  SegmentHeader header;
  const char* why = check_segment_header(file, bytes, nullptr, header);
  if (why == nullptr) {
    ChainState chain{header.first_sequence, header.hash};
    why = scan_kept(bytes, chain, nullptr);
  }
  return why == nullptr ? Result<>()
                        : fail(Code::corrupt, fmt::format("{}: {}; the segment beside it is kept",
                                                          file.path().string(), why));
}

}  // namespace

Result<> remove_unfinished_segments(const std::filesystem::path& directory, Disk& disk) {
  TRY(const std::vector<std::string> names, disk.list(directory));
  for (const std::string& name : names) {
    const bool unfinished = name.starts_with(kPrefix) && name.ends_with(kUnfinishedSuffix);
    // Retention had put its `.kept` in the place of this one.
    const bool replaced = name.ends_with(kSuffix) && number_of(name, segment_name) != 0 &&
                          disk.exists(directory / kept_name(number_of(name, segment_name)));
    if (replaced) {
      CHECK_OK(check_kept(directory, number_of(name, segment_name), disk));
    }
    if (unfinished || replaced) {
      CHECK_OK(disk.remove(directory / name));
    }
  }
  return {};
}

}  // namespace deepmoat::audit
