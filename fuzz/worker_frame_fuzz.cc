// links: deepmoat_wire deepmoat_base
// Frames between gateway and worker, both directions: hostile bytes never crash the decoder, and
// any split of a stream gives the same messages. The first byte chooses the piece length.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/frame.h"
#include "wire/worker.pb.h"

namespace {

// Maps in a fixed order, so that equal messages give equal bytes.
std::string bytes_of(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

// The messages of a stream that comes in pieces, and whether it ended as corrupt.
template <class Message>
std::vector<std::string> messages_of(std::string_view bytes, std::size_t piece) {
  deepmoat::wire::FrameDecoder decoder;
  std::vector<std::string> out;
  while (!bytes.empty()) {
    const std::size_t count = bytes.size() < piece ? bytes.size() : piece;
    decoder.feed(bytes.substr(0, count));
    bytes.remove_prefix(count);
    for (;;) {
      Message message;
      const auto whole = decoder.next(message);
      if (!whole) {
        out.emplace_back("corrupt");
        return out;
      }
      if (!*whole) {
        break;
      }
      out.push_back(bytes_of(message));
    }
  }
  return out;
}

template <class Message>
void check(std::string_view bytes, std::size_t piece) {
  if (messages_of<Message>(bytes, bytes.size() + 1) != messages_of<Message>(bytes, piece)) {
    __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::size_t piece = 1 + data[0] % 32;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  check<deepmoat::wire::ToWorker>(bytes, piece);
  check<deepmoat::wire::FromWorker>(bytes, piece);
  return 0;
}
