#include "worker/link.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "wire/frame.h"

namespace deepmoat::worker {

namespace {

constexpr std::size_t kWaitingBytesMax = 64ULL * 1024 * 1024;  // for a gateway that does not read
constexpr int kLastWordsMs = 2000;

void take_call(wire::InferRequest request, const Preparer& preparer, Inbox& inbox) {
  auto prepared = preparer.prepare(std::move(request));
  if (prepared) {
    inbox.put(*std::move(prepared));
  } else {
    inbox.put_refused(std::move(prepared).error());
  }
}

}  // namespace

void Inbox::put(PreparedCall call) {
  const std::lock_guard lock(mutex_);
  inbound_.calls.push_back(std::move(call));
  arrived_.notify_one();
}

void Inbox::put_cancel(std::uint64_t call) {
  const std::lock_guard lock(mutex_);
  inbound_.cancels.push_back(call);
  arrived_.notify_one();
}

void Inbox::put_refused(wire::Refused refused) {
  const std::lock_guard lock(mutex_);
  inbound_.refused.push_back(std::move(refused));
  arrived_.notify_one();
}

void Inbox::put_drain() {
  const std::lock_guard lock(mutex_);
  inbound_.drain = true;
  arrived_.notify_one();
}

Inbound Inbox::take(std::uint32_t wait_ms) {
  std::unique_lock lock(mutex_);
  if (wait_ms > 0 && inbound_.empty()) {
    arrived_.wait_for(lock, std::chrono::milliseconds(wait_ms),
                      [this] { return !inbound_.empty(); });
  }
  return std::exchange(inbound_, {});
}

Error read_frames(int fd, const Preparer& preparer, Inbox& inbox) {
  wire::FrameDecoder decoder;
  std::array<char, 64 * 1024> buffer;
  for (;;) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return {Code::cancelled, "the gateway has closed the connection"};
    }
    decoder.feed({buffer.data(), static_cast<std::size_t>(got)});
    for (;;) {
      wire::ToWorker frame;
      const Result<bool> whole = decoder.next(frame);
      if (!whole) {
        return whole.error();
      }
      if (!*whole) {
        break;
      }
      if (frame.has_infer()) {
        take_call(std::move(*frame.mutable_infer()), preparer, inbox);
      } else if (frame.has_cancel()) {
        inbox.put_cancel(frame.cancel().call_id());
      } else if (frame.has_drain()) {
        inbox.put_drain();
      }
    }
  }
}

void Outbox::put(const wire::FromWorker& frame) {
  bytes_ += wire::encode_frame(frame);
}

void Outbox::append(Outbox&& other) {
  bytes_ += std::exchange(other.bytes_, {});
}

Result<> Outbox::flush() {
  while (sent_ < bytes_.size()) {
    const ssize_t put =
        ::send(fd_, bytes_.data() + sent_, bytes_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (bytes_.size() - sent_ > kWaitingBytesMax) {
        return fail(Code::resource_exhausted, "the gateway does not read what the worker sends");
      }
      if (sent_ > kWaitingBytesMax / 64) {
        bytes_.erase(0, sent_);
        sent_ = 0;
      }
      return {};
    }
    if (put < 0) {
      return fail_errno(Code::cancelled, "send to the gateway");
    }
    sent_ += static_cast<std::size_t>(put);
  }
  bytes_.clear();
  sent_ = 0;
  return {};
}

void Outbox::flush_and_wait() {
  while (flush() && !empty()) {
    pollfd wait{fd_, POLLOUT, 0};
    if (::poll(&wait, 1, kLastWordsMs) <= 0) {
      return;
    }
  }
}

}  // namespace deepmoat::worker
