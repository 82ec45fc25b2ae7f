// The socket to the gateway. Inbox: filled by the reader thread, emptied by the decode thread.
// Outbox: the decode thread's alone; it never waits for the gateway.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "wire/worker.pb.h"
#include "worker/prepare.h"

namespace deepmoat::worker {

// What came in since the last look. Its parts are in order of arrival, each on its own; a cancel
// never stands before its call.
struct Inbound {
  std::vector<PreparedCall> calls;
  std::vector<std::uint64_t> cancels;
  std::vector<wire::Refused> refused;  // calls whose prompt cannot be made
  bool drain = false;

  [[nodiscard]] bool empty() const {
    return calls.empty() && cancels.empty() && refused.empty() && !drain;
  }
};

// Thread-safe.
class Inbox {
 public:
  void put(PreparedCall call);
  void put_cancel(std::uint64_t call);
  void put_refused(wire::Refused refused);
  void put_drain();

  // Takes all. Waits at most `wait_ms` when there is nothing.
  [[nodiscard]] Inbound take(std::uint32_t wait_ms);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  Inbound inbound_;
};

// Reads frames until the gateway closes the socket or sends what is no frame; prepares calls.
// Runs on the reader thread and returns an error that says why it stopped (Code::cancelled: the
// gateway is gone).
[[nodiscard]] Error read_frames(int fd, const Preparer& preparer, Inbox& inbox);

// Not thread-safe.
class Outbox {
 public:
  explicit Outbox(int fd) : fd_(fd) {}

  void put(const wire::FromWorker& frame);
  // Puts all frames of another one.
  void append(Outbox&& other);

  // Sends what the socket takes without waiting. Code::cancelled when the gateway is gone,
  // ::resource_exhausted when it does not read.
  [[nodiscard]] Result<> flush();
  [[nodiscard]] bool empty() const { return sent_ == bytes_.size(); }

  // Sends all and waits for it, a few seconds at most: for the last words.
  void flush_and_wait();

 private:
  int fd_;
  std::string bytes_;
  std::size_t sent_ = 0;
};

}  // namespace deepmoat::worker
