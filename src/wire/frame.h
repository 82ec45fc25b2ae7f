// Framing between gateway and worker: u32 little-endian length, then one protobuf message.
// Neither side trusts the other: a length over the limit or bytes that do not parse end the
// connection.
#pragma once

#include <google/protobuf/message_lite.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace deepmoat::wire {

// The bytes of one frame. REQUIRES: the message is smaller than limits::kFrameBytesMax.
[[nodiscard]] std::string encode_frame(const google::protobuf::MessageLite& message);

// Cuts a byte stream into messages; any split of the stream gives the same messages.
// Not thread-safe.
class FrameDecoder {
 public:
  // Adds received bytes.
  void feed(std::string_view bytes);

  // Parses the next whole frame into `out`: true when there was one, false when more bytes are
  // needed, Code::corrupt when the stream is not ours.
  [[nodiscard]] Result<bool> next(google::protobuf::MessageLite& out);

 private:
  std::string buffer_;
  std::size_t consumed_ = 0;
};

}  // namespace deepmoat::wire
