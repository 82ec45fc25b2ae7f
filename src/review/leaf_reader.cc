#include "review/leaf_reader.h"

#include <fmt/format.h>

#include "audit/format.h"

namespace deepmoat::review {

namespace {

using Offsets = std::unordered_map<std::uint64_t, std::uint64_t>;

// Returns nullptr, or what is wrong; records before that are in `offsets` all the same.
const char* find_frames(const audit::SegmentFile& file, std::string_view bytes, Offsets& offsets) {
  audit::SegmentHeader header;
  if (const char* why = audit::check_segment_header(file, bytes, nullptr, header); why != nullptr) {
    return why;
  }
  audit::ChainState chain{.next_sequence = header.first_sequence, .last_hash = header.hash};
  if (!file.kept()) {
    // A commit that is being written behind them looks torn, and is none of ours.
    const audit::Scan scan = audit::scan_frames(
        bytes, audit::kSegmentHeaderBytes, chain,
        [&](const audit::Frame& frame) { offsets.emplace(frame.sequence, frame.offset); });
    return scan.end == audit::ScanEnd::corrupt ? "a frame of it is altered" : nullptr;
  }
  return audit::scan_kept(bytes, chain, [&](const audit::KeptEntry& entry) {
    if (!entry.is_stub) {
      offsets.emplace(entry.frame.sequence, entry.frame.offset);
    }
  });
}

}  // namespace

Result<std::optional<std::string>> LeafReader::read_at(std::uint64_t sequence,
                                                       std::uint64_t offset) const {
  TRY(const std::string bytes, file_->read(offset, audit::kFrameBytesMax));
  audit::Frame frame;
  if (audit::parse_frame(bytes, 0, frame) != nullptr || frame.sequence != sequence) {
    return std::nullopt;
  }
  return std::string(frame.leaf_data);
}

Result<> LeafReader::search_segment() {
  std::string bytes;
  CHECK_OK(file_->load(bytes));
  Offsets offsets;
  if (const char* why = find_frames(*file_, bytes, offsets); why != nullptr) {
    return fail(Code::corrupt, fmt::format("{}: {}", file_->path().string(), why));
  }
  offsets_ = std::move(offsets);
  return {};
}

Result<std::string> LeafReader::read(std::uint64_t sequence, std::uint64_t segment,
                                     std::uint64_t frame_offset) {
  if (!file_ || file_->number() != segment) {
    offsets_.reset();
    file_.reset();
    auto file = audit::SegmentFile::open(folder_, segment);
    if (!file && file.error().code == Code::not_found) {  // that is not what retention does
      return fail(Code::corrupt, fmt::format("segment {} is gone", segment));
    }
    if (!file) {
      return std::unexpected(std::move(file).error());
    }
    file_ = *std::move(file);
  }
  if (!offsets_) {
    TRY(std::optional<std::string> leaf, read_at(sequence, frame_offset));
    if (leaf) {
      return *std::move(leaf);
    }
    CHECK_OK(search_segment());
  }
  if (const auto found = offsets_->find(sequence); found != offsets_->end()) {
    TRY(std::optional<std::string> leaf, read_at(sequence, found->second));
    if (leaf) {
      return *std::move(leaf);
    }
  }
  if (file_->kept()) {
    return fail(Code::not_found,
                fmt::format("record {}: its text was deleted by retention", sequence));
  }
  return fail(Code::corrupt,
              fmt::format("{} does not hold record {}", file_->path().string(), sequence));
}

std::string_view body_of_leaf(std::string_view leaf) {
  return leaf.substr(audit::kFrameHeaderBytes);
}

}  // namespace deepmoat::review
