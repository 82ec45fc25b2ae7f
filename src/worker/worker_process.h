// A real deepmoat-worker behind a socketpair, for tests and measurements. One thread.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "wire/frame.h"
#include "wire/worker.pb.h"

namespace deepmoat::worker {

// What came back for one call so far.
struct CallRecord {
  std::map<std::uint32_t, std::string> content;
  std::map<std::uint32_t, std::uint32_t> delta_tokens;
  std::map<std::uint32_t, wire::FinishReason> reasons;
  std::map<std::uint32_t, std::vector<wire::Logprob>> logprobs;
  std::vector<std::vector<float>> vectors;
  std::vector<float> scores;
  std::optional<wire::Finished> finished;
  std::optional<wire::Refused> refused;
  [[nodiscard]] bool ended() const { return finished || refused; }
};

class WorkerProcess {
 public:
  explicit WorkerProcess(std::vector<std::string> arguments) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
      return;
    }
    ours_.reset(pair[0]);
    const UniqueFd theirs(pair[1]);
    arguments.insert(arguments.begin(), {"deepmoat-worker", "--fd", std::to_string(theirs.get())});
    std::vector<char*> argv;
    for (std::string& argument : arguments) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::fcntl(theirs.get(), F_SETFD, 0);  // this one alone: a worker of another test keeps none
      ::execv(DEEPMOAT_WORKER_BINARY, argv.data());
      ::_exit(127);
    }
  }
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  ~WorkerProcess() {
    ours_.reset();
    (void)wait_for_exit();
  }

  // The exit status, or 128 + signal.
  int wait_for_exit() {
    int status = 0;
    if (pid_ > 0) {
      ::waitpid(pid_, &status, 0);
      pid_ = -1;
      exit_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return exit_status_;
  }

  void hang_up() { ours_.reset(); }
  [[nodiscard]] pid_t pid() const { return pid_; }

  void send(const wire::ToWorker& frame) {
    const std::string bytes = wire::encode_frame(frame);
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t put =
          ::send(ours_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (put <= 0) {
        return;
      }
      sent += static_cast<std::size_t>(put);
    }
  }

  void send_cancel(std::uint64_t id) {
    wire::ToWorker frame;
    frame.mutable_cancel()->set_call_id(id);
    send(frame);
  }

  // Reads frames until `done` holds; false when the worker is gone.
  bool read_until(const std::function<bool()>& done) {
    std::array<char, 65536> buffer;
    while (!done()) {
      const ssize_t got = ::recv(ours_.get(), buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        return false;
      }
      decoder_.feed({buffer.data(), static_cast<std::size_t>(got)});
      wire::FromWorker frame;
      for (Result<bool> more = decoder_.next(frame); more && *more; more = decoder_.next(frame)) {
        take(frame);
      }
    }
    return true;
  }

  bool wait_until_ready() {
    return read_until([this] { return ready.has_value() || !fatal.empty(); }) && ready.has_value();
  }

  bool wait_for(const std::vector<std::uint64_t>& ids) {
    return read_until([&] {
      for (const std::uint64_t id : ids) {
        if (!calls[id].ended()) {
          return false;
        }
      }
      return true;
    });
  }

  std::map<std::uint64_t, CallRecord> calls;
  std::optional<wire::Ready> ready;
  std::optional<wire::Stats> stats;
  std::string fatal;
  std::string tried_variant;
  std::function<void(const wire::FromWorker&)> on_frame;

 private:
  void take(const wire::FromWorker& frame) {
    if (on_frame) {
      on_frame(frame);
    }
    if (frame.has_delta()) {
      CallRecord& call = calls[frame.delta().call_id()];
      call.content[frame.delta().index()] += frame.delta().content();
      call.delta_tokens[frame.delta().index()] += frame.delta().tokens();
      auto& logprobs = call.logprobs[frame.delta().index()];
      logprobs.insert(logprobs.end(), frame.delta().logprobs().begin(),
                      frame.delta().logprobs().end());
    } else if (frame.has_vectors()) {
      take(frame.vectors());
    } else if (frame.has_scores()) {
      calls[frame.scores().call_id()].scores.assign(frame.scores().values().begin(),
                                                    frame.scores().values().end());
    } else if (frame.has_choice_finished()) {
      calls[frame.choice_finished().call_id()].reasons[frame.choice_finished().index()] =
          frame.choice_finished().reason();
    } else if (frame.has_finished()) {
      calls[frame.finished().call_id()].finished = frame.finished();
    } else if (frame.has_refused()) {
      calls[frame.refused().call_id()].refused = frame.refused();
    } else if (frame.has_ready()) {
      ready = frame.ready();
    } else if (frame.has_stats()) {
      stats = frame.stats();
    } else if (frame.has_progress() && !frame.progress().cpu_variant().empty()) {
      tried_variant = frame.progress().cpu_variant();
    } else if (!frame.fatal().empty()) {
      fatal = frame.fatal();
    }
  }

  void take(const wire::Vectors& frame) {
    auto& vectors = calls[frame.call_id()].vectors;
    const auto width = static_cast<std::ptrdiff_t>(frame.width());
    vectors.resize(frame.first());
    for (auto at = frame.values().begin(); at != frame.values().end(); at += width) {
      vectors.emplace_back(at, at + width);
    }
  }

  UniqueFd ours_;
  pid_t pid_ = -1;
  int exit_status_ = -1;
  wire::FrameDecoder decoder_;
};

// A greedy call with one user message.
inline wire::ToWorker chat_call(std::uint64_t id, const std::string& text, std::uint32_t max_tokens,
                                const std::string& system = {}) {
  wire::ToWorker frame;
  wire::InferRequest& infer = *frame.mutable_infer();
  infer.set_call_id(id);
  infer.set_tenant_salt("t");
  infer.set_max_tokens(max_tokens);
  infer.set_n(1);
  infer.mutable_sampling()->set_top_p(1);
  if (!system.empty()) {
    wire::ChatMessage& message = *infer.mutable_chat()->add_messages();
    message.set_role("system");
    message.set_content(system);
  }
  wire::ChatMessage& message = *infer.mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content(text);
  return frame;
}

}  // namespace deepmoat::worker
