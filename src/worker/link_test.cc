#include "worker/link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "base/file.h"
#include "wire/frame.h"

namespace deepmoat::worker {
namespace {

wire::FromWorker big_frame() {
  wire::FromWorker frame;
  frame.mutable_delta()->set_content(std::string(1 << 20, 'x'));
  return frame;
}

TEST(Outbox, NeverWaitsForAReaderAndGivesUpInTheEnd) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  const UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  Outbox outbox(ours.get());
  outbox.put(big_frame());
  EXPECT_TRUE(outbox.flush().has_value());
  EXPECT_FALSE(outbox.empty());
  Result<> flushed;
  for (int i = 0; i < 80 && flushed; ++i) {
    outbox.put(big_frame());
    flushed = outbox.flush();
  }
  ASSERT_FALSE(flushed.has_value());
  EXPECT_EQ(flushed.error().code, Code::resource_exhausted);
  theirs.reset();
  EXPECT_EQ(outbox.flush().error().code, Code::cancelled);
}

TEST(Outbox, WhatWaitedArrivesWhole) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  const UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  Outbox outbox(ours.get());
  for (int i = 0; i < 5; ++i) {
    outbox.put(big_frame());
  }
  wire::FrameDecoder decoder;
  std::array<char, 4096> buffer;
  int frames = 0;
  while (frames < 5) {
    ASSERT_TRUE(outbox.flush().has_value());
    const ssize_t got = ::recv(theirs.get(), buffer.data(), buffer.size(), 0);
    ASSERT_GT(got, 0);
    decoder.feed({buffer.data(), static_cast<std::size_t>(got)});
    wire::FromWorker frame;
    const Result<bool> whole = decoder.next(frame);
    ASSERT_TRUE(whole.has_value());
    frames += *whole ? 1 : 0;
  }
  EXPECT_TRUE(outbox.empty());
}

TEST(Inbox, GivesAllAtOnceAndThenNothing) {
  Inbox inbox;
  inbox.put_cancel(1);
  inbox.put_cancel(2);
  inbox.put_drain();
  const Inbound first = inbox.take(0);
  EXPECT_EQ(first.cancels.size(), 2U);
  EXPECT_TRUE(first.drain);
  EXPECT_TRUE(inbox.take(0).empty());
}

}  // namespace
}  // namespace deepmoat::worker
