#include "audit/segment_writer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "audit/segment.h"

namespace deepmoat::audit {

namespace {

// One write takes at most this much, so that a full queue does not delay its first records.
constexpr std::size_t kCommitBytesMax = 1024 * 1024;

}  // namespace

Result<SegmentWriter> SegmentWriter::open(const std::filesystem::path& directory,
                                          const WritePosition& position, Disk& disk) {
  SegmentWriter writer(directory, disk, position);
  CHECK_OK(writer.open_segment(position.segment));
  return writer;
}

// Changes nothing when it fails.
Result<> SegmentWriter::open_segment(std::uint64_t number) {
  TRY(const SegmentFile made, SegmentFile::open(directory_, number, *disk_));
  TRY(file_, disk_->open_to_write(made.path()));
  bytes_ = made.bytes();
  number_ = number;
  return {};
}

std::uint64_t SegmentWriter::room() const {
  return bytes_ - std::max<std::uint64_t>(offset_, kSegmentHeaderBytes);
}

bool SegmentWriter::fits(std::size_t body_bytes) const {
  return room() >= kFrameBytesMin + body_bytes;
}

Result<std::size_t> SegmentWriter::commit(
    std::span<const NewRecord> records, UnixMillis now_ms,
    const std::function<void(std::string_view leaf_data)>& on_leaf) {
  buffer_.clear();
  ChainState chain = chain_;
  if (offset_ == 0) {
    SegmentHeader header{.number = number_,
                         .segment_bytes = bytes_,
                         .first_sequence = chain.next_sequence,
                         .created_unix_ms = now_ms,
                         .previous_hash = chain.last_hash};
    buffer_ = encode_segment_header(header);
    chain.last_hash = header.hash;
  }
  std::vector<std::size_t> starts;
  for (const NewRecord& record : records) {
    if (buffer_.size() >= kCommitBytesMax ||
        bytes_ - offset_ - buffer_.size() < kFrameBytesMin + record.body.size()) {
      break;
    }
    const auto batch_index = static_cast<std::uint32_t>(starts.size());
    starts.push_back(buffer_.size());
    chain.last_hash = append_frame(buffer_, chain.next_sequence, record.unix_ms, batch_index,
                                   chain.last_hash, record.body);
    ++chain.next_sequence;
  }
  CHECK_OK(file_->write_at(buffer_, offset_));
  CHECK_OK(file_->sync());
  offset_ += buffer_.size();
  chain_ = chain;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::size_t bytes = kFrameHeaderBytes + records[i].body.size();
    on_leaf(std::string_view(buffer_).substr(starts[i], bytes));
  }
  return starts.size();
}

Result<> SegmentWriter::enter_next() {
  CHECK_OK(open_segment(number_ + 1));
  offset_ = 0;
  return {};
}

}  // namespace deepmoat::audit
