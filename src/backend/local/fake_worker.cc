// For tests of the supervisor alone: a program that speaks a worker's frames and does on request
// what no worker should. How it starts stands in the file name of --model, what it does with a
// call in the call's prompt. Each start adds a line with its arguments to "<model>.starts". One
// thread.
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "wire/frame.h"
#include "wire/worker.pb.h"

namespace deepmoat::backend {
namespace {

constexpr int kExitIllegalInstruction = 86;

class FakeWorker {
 public:
  explicit FakeWorker(std::vector<std::string> arguments)
      : arguments_(std::move(arguments)),
        socket_(std::stoi(value_of("--fd"))),
        model_(value_of("--model")) {}

  int run() {
    note_start();
    if (const int status = start(); status != 0) {
      return status;
    }
    char buffer[4096];
    for (;;) {
      const ssize_t got = ::read(socket_, buffer, sizeof buffer);
      if (got <= 0) {
        return linger();
      }
      decoder_.feed({buffer, static_cast<std::size_t>(got)});
      wire::ToWorker frame;
      while (decoder_.next(frame).value_or(false)) {
        take(frame);
      }
    }
  }

 private:
  std::string value_of(const std::string& flag) const {
    const auto found = std::ranges::find(arguments_, flag);
    return found == arguments_.end() || found + 1 == arguments_.end() ? "" : *(found + 1);
  }

  bool avoids(const std::string& variant) const {
    for (std::size_t i = 0; i + 1 < arguments_.size(); ++i) {
      if (arguments_[i] == "--cpu-variant-avoid" && arguments_[i + 1] == variant) {
        return true;
      }
    }
    return false;
  }

  void note_start() {
    std::ofstream starts(model_ + ".starts", std::ios::app);
    for (const std::string& argument : arguments_) {
      starts << argument << ' ';
    }
    starts << '\n';
  }

  std::string mode() const { return std::filesystem::path(model_).filename().string(); }

  void send(const wire::FromWorker& frame) { send_bytes(wire::encode_frame(frame)); }

  void send_bytes(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::write(socket_, bytes.data(), bytes.size());
      if (put <= 0) {
        ::_exit(1);
      }
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
  }

  // Not 0: the exit status of a worker that does not come up.
  int start() {
    wire::FromWorker frame;
    const std::string variant = mode() == "amx-faults" && !avoids("amx") ? "amx" : "haswell";
    frame.mutable_progress()->set_fraction(0.5F);
    frame.mutable_progress()->set_cpu_variant(variant);
    send(frame);
    if (variant == "amx") {
      return kExitIllegalInstruction;
    }
    if (mode() == "exits") {
      return 7;
    }
    if (mode() == "fatal") {
      frame.set_fatal("the model file is not a model");
      send(frame);
      return 3;
    }
    if (mode() == "never-ready") {
      return 0;
    }
    frame.mutable_ready()->set_description("fake");
    frame.mutable_ready()->set_cpu_variant(variant);
    send(frame);
    return 0;
  }

  int linger() const {
    while (mode() == "does-not-end") {
      ::poll(nullptr, 0, -1);
    }
    return 0;
  }

  void take(const wire::ToWorker& frame) {
    if (frame.has_infer()) {
      infer(frame.infer());
    } else if (frame.has_cancel() && frame.cancel().call_id() != deaf_to_) {
      finish(frame.cancel().call_id(), true);
    }
  }

  void say(std::uint64_t id, const std::string& text) {
    wire::FromWorker frame;
    frame.mutable_delta()->set_call_id(id);
    frame.mutable_delta()->set_content(text);
    send(frame);
  }

  void finish(std::uint64_t id, bool cancelled) {
    wire::FromWorker frame;
    frame.mutable_choice_finished()->set_call_id(id);
    frame.mutable_choice_finished()->set_reason(wire::FINISH_STOP);
    send(frame);
    frame.mutable_finished()->set_call_id(id);
    frame.mutable_finished()->set_cancelled(cancelled);
    frame.mutable_finished()->mutable_usage()->set_completion_tokens(1);
    send(frame);
  }

  void refuse(std::uint64_t id, const std::string& kind) {
    wire::FromWorker frame;
    wire::Refused& refused = *frame.mutable_refused();
    refused.set_call_id(id);
    wire::Refused::Kind parsed = wire::Refused::INTERNAL;
    wire::Refused::Kind_Parse(kind, &parsed);
    refused.set_kind(parsed);
    refused.set_message("no: " + kind);
    refused.set_param("messages");
    refused.set_retry_after_s(17);
    send(frame);
  }

  void infer(const wire::InferRequest& request) {
    const std::uint64_t id = request.call_id();
    const std::string& wish = request.text();
    if (wish.ends_with("after a word")) {
      say(id, "word");
    }
    if (wish.starts_with("abort")) {
      ::signal(SIGABRT, SIG_DFL);
      ::abort();
    } else if (wish.starts_with("kill")) {
      ::kill(::getpid(), SIGKILL);
    } else if (wish == "garbage") {
      send_bytes(std::string(100, '\xff'));
    } else if (wish == "unparsable") {
      send_bytes(std::string("\x02\x00\x00\x00\xff\xff", 6));
    } else if (wish == "strangers") {
      say(id + 1000, "not yours");
      finish(id + 1000, false);
      finish(id, false);
    } else if (wish.starts_with("refuse ")) {
      refuse(id, wish.substr(7));
    } else if (wish == "ignore everything") {
      deaf_to_ = id;
    } else if (!wish.starts_with("wait")) {
      say(id, "echo: " + wish);
      finish(id, false);
    }
  }

  std::vector<std::string> arguments_;
  int socket_;
  std::string model_;
  wire::FrameDecoder decoder_;
  std::uint64_t deaf_to_ = 0;
};

}  // namespace
}  // namespace deepmoat::backend

int main(int argc, char** argv) {
  return deepmoat::backend::FakeWorker(std::vector<std::string>(argv + 1, argv + argc)).run();
}
