#include "wire/frame.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

#include "base/limits.h"
#include "wire/worker.pb.h"

namespace deepmoat::wire {
namespace {

ToWorker cancel_of(std::uint64_t id) {
  ToWorker frame;
  frame.mutable_cancel()->set_call_id(id);
  return frame;
}

ToWorker text_of(const std::string& text) {
  ToWorker frame;
  frame.mutable_infer()->set_text(text);
  return frame;
}

// All messages that a decoder gives for a stream that arrives in these pieces.
std::vector<std::string> decoded(const std::vector<std::string>& pieces) {
  FrameDecoder decoder;
  std::vector<std::string> messages;
  for (const std::string& piece : pieces) {
    decoder.feed(piece);
    for (;;) {
      ToWorker frame;
      const auto got = decoder.next(frame);
      if (!got) {
        messages.emplace_back("corrupt");
        return messages;
      }
      if (!*got) {
        break;
      }
      messages.push_back(frame.SerializeAsString());
    }
  }
  return messages;
}

TEST(Frame, LengthIsLittleEndianBeforeTheMessage) {
  const std::string bytes = encode_frame(text_of(std::string(300, 'x')));
  ASSERT_GT(bytes.size(), 4U);
  const std::size_t length = bytes.size() - 4;
  EXPECT_EQ(static_cast<unsigned char>(bytes[0]), length & 0xFFU);
  EXPECT_EQ(static_cast<unsigned char>(bytes[1]), length >> 8U);
  EXPECT_EQ(bytes.substr(2, 2), std::string(2, '\0'));
}

TEST(Frame, EmptyMessageIsAFrameToo) {
  EXPECT_EQ(encode_frame(ToWorker()), std::string(4, '\0'));
  EXPECT_EQ(decoded({std::string(8, '\0')}), (std::vector<std::string>{"", ""}));
}

RC_GTEST_PROP(Frame, AnySplitGivesTheSameMessages, ()) {
  const auto texts = *rc::gen::container<std::vector<std::string>>(
      rc::gen::container<std::string>(rc::gen::inRange('a', 'z')));
  std::string stream;
  std::vector<std::string> sent;
  for (const std::string& text : texts) {
    const ToWorker frame = text_of(text);
    stream += encode_frame(frame);
    sent.push_back(frame.SerializeAsString());
  }
  std::vector<std::string> pieces;
  for (std::size_t begin = 0; begin < stream.size();) {
    const auto size = *rc::gen::inRange<std::size_t>(1, 9);
    pieces.push_back(stream.substr(begin, size));
    begin += size;
  }
  RC_ASSERT(decoded(pieces) == sent);
  RC_ASSERT(decoded({stream}) == sent);
}

TEST(Frame, HalfAFrameIsNotAMessage) {
  const std::string bytes = encode_frame(cancel_of(77));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_TRUE(decoded({bytes.substr(0, size)}).empty()) << size;
  }
  EXPECT_EQ(decoded({bytes}).size(), 1U);
}

TEST(Frame, LengthOverTheLimitEndsTheStreamAtOnce) {
  const std::string over("\x01\x00\x00\x04", 4);  // kFrameBytesMax + 1
  static_assert(limits::kFrameBytesMax == 0x0400'0000);
  FrameDecoder decoder;
  decoder.feed(over);
  ToWorker frame;
  const auto got = decoder.next(frame);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::corrupt);
  EXPECT_NE(got.error().message.find("67108865"), std::string::npos);

  FrameDecoder at_limit;
  at_limit.feed(std::string("\x00\x00\x00\x04", 4));
  EXPECT_FALSE(at_limit.next(frame).value()) << "allowed, and not here yet";
}

TEST(Frame, GarbageAfterGoodFramesIsFound) {
  const std::string good = encode_frame(cancel_of(1)) + encode_frame(cancel_of(2));
  const std::string bad = std::string("\x02\x00\x00\x00", 4) + "\xff\xff";
  const auto messages = decoded({good + bad});
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_EQ(messages[0], cancel_of(1).SerializeAsString());
  EXPECT_EQ(messages[2], "corrupt");
}

RC_GTEST_PROP(Frame, AnyBytesAreMessagesOrCorrupt, (const std::vector<std::string>& pieces)) {
  decoded(pieces);
}

TEST(Frame, TextThatIsNotUtf8IsCorrupt) {
  // proto3: a string field holds UTF-8. A worker that sends other bytes is not ours.
  const std::string message = std::string("\x0a\x04\x22\x02", 4) + "\xc3\x28";
  std::string frame(4, '\0');
  frame[0] = static_cast<char>(message.size());
  EXPECT_EQ(decoded({frame + message}), std::vector<std::string>{"corrupt"});
}

TEST(Frame, ALongStreamIsTakenFrameByFrame) {
  FrameDecoder decoder;
  const std::string bytes = encode_frame(text_of(std::string(1000, 'x')));
  ToWorker frame;
  for (int i = 0; i < 1000; ++i) {
    decoder.feed(bytes);
    ASSERT_TRUE(decoder.next(frame).value());
  }
  EXPECT_FALSE(decoder.next(frame).value());
}

}  // namespace
}  // namespace deepmoat::wire
