#include "wire/frame.h"

#include "base/limits.h"

namespace deepmoat::wire {

namespace {
constexpr std::size_t kLengthBytes = 4;

std::size_t read_length(std::string_view bytes) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return length;
}
}  // namespace

std::string encode_frame(const google::protobuf::MessageLite& message) {
  std::string bytes(kLengthBytes, '\0');
  message.AppendToString(&bytes);
  const std::size_t length = bytes.size() - kLengthBytes;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    bytes[i] = static_cast<char>((length >> (8 * i)) & 0xFFU);
  }
  return bytes;
}

void FrameDecoder::feed(std::string_view bytes) {
  buffer_.erase(0, consumed_);
  consumed_ = 0;
  buffer_.append(bytes);
}

Result<bool> FrameDecoder::next(google::protobuf::MessageLite& out) {
  const std::string_view rest = std::string_view(buffer_).substr(consumed_);
  if (rest.size() < kLengthBytes) {
    return false;
  }
  const std::size_t length = read_length(rest);
  if (length > limits::kFrameBytesMax) {
    return fail(Code::corrupt, "a frame claims " + std::to_string(length) + " bytes");
  }
  if (rest.size() < kLengthBytes + length) {
    return false;
  }
  if (!out.ParseFromArray(rest.data() + kLengthBytes, static_cast<int>(length))) {
    return fail(Code::corrupt, "a frame does not parse");
  }
  consumed_ += kLengthBytes + length;
  return true;
}

}  // namespace deepmoat::wire
