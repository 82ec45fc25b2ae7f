#include "backend/local/local_backend.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "backend/local/quarantine.h"
#include "base/limits.h"
#include "base/log.h"
#include "wire/frame.h"

namespace deepmoat::backend {

namespace {

constexpr MonoNanos kMillis = 1'000'000;
constexpr std::int64_t kBackOffFirstMs = 50;
constexpr std::int64_t kBackOffMaxMs = 10'000;
constexpr std::int64_t kProgressLogMs = 1'000;
constexpr std::int64_t kHealthyMs =
    60'000;  // a worker that lived this long starts with no back-off

wire::Refusal unavailable(const char* code, std::string message, std::uint32_t retry_after_s) {
  return {.status = 503,
          .type = "service_unavailable_error",
          .code = code,
          .message = std::move(message),
          .retry_after_s = retry_after_s};
}

wire::Refusal worker_crashed() {
  return {.status = 500,
          .type = "server_error",
          .code = "worker_crashed",
          .message =
              "The model's worker ended while it answered. It is being started again; send the "
              "call again."};
}

wire::Refusal from_worker(const wire::Refused& refused) {
  switch (refused.kind()) {
    case wire::Refused::INVALID:
      return wire::invalid(refused.param(), refused.message());
    case wire::Refused::CONTEXT_EXCEEDED:
      return wire::invalid(refused.param(), refused.message(), "context_length_exceeded");
    case wire::Refused::QUEUE_FULL:
      return {.status = 429,
              .type = "rate_limit_error",
              .code = "queue_full",
              .message = refused.message(),
              .retry_after_s = std::max(refused.retry_after_s(), 1U)};
    case wire::Refused::DRAINING:
      return unavailable("draining", refused.message(), 1);
    case wire::Refused::INTERNAL:
    default:
      break;
  }
  log::error("the worker refused a call for a reason of its own", {{"reason", refused.message()}});
  return {.message = "The model could not run this call."};
}

}  // namespace

std::string_view health_name(Health health) {
  switch (health) {
    case Health::loading:
      return "loading";
    case Health::ready:
      return "ready";
    case Health::restarting:
      return "restarting";
    case Health::draining:
      return "draining";
    case Health::failed:
      return "failed";
  }
  return "failed";
}

class LocalBackend::Supervisor {
 public:
  Supervisor(LocalBackendOptions options, const Clock& clock)
      : options_(std::move(options)),
        clock_(clock),
        wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    thread_ = std::thread([this] { run(); });
  }

  ~Supervisor() { shut_down(); }

  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  CallId submit(wire::InferRequest request, EventSink sink) {
    const CallId id(next_call_.fetch_add(1));
    request.set_call_id(id.value());
    {
      const std::lock_guard lock(inbox_mutex_);
      if (!stopped_) {
        arrivals_.emplace_back(std::move(request), std::move(sink));
        sink = nullptr;
      }
    }
    if (sink) {
      sink(Broken{unavailable("draining", "The server is shutting down.", 1)});
    }
    wake();
    return id;
  }

  void cancel(CallId call) {
    {
      const std::lock_guard lock(inbox_mutex_);
      cancels_.push_back(call.value());
    }
    wake();
  }

  BackendStatus status() const {
    const std::lock_guard lock(status_mutex_);
    return status_;
  }

  pid_t worker_pid() const { return worker_pid_; }

  void shut_down() {
    const std::lock_guard lock(shut_down_mutex_);
    stopping_ = true;
    wake();
    if (thread_.joinable()) {
      thread_.join();
      {
        const std::lock_guard inbox_lock(inbox_mutex_);
        stopped_ = true;
      }
      end_all_calls();  // those that came while the thread ended
    }
  }

 private:
  // A call between submit() and its last event.
  struct Call {
    wire::InferRequest request;
    EventSink sink;
    std::uint64_t fingerprint = 0;
    MonoNanos give_up_at = 0;  // while it waits for a worker
    int runs = 0;              // how often it was sent to a worker
    bool in_worker = false;
    bool begun = false;  // an event has gone out, so it cannot run again
    bool cancelled = false;
  };
  using Calls = std::map<std::uint64_t, Call>;

  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = ::write(wake_.get(), &one, sizeof one);
  }

  template <class Change>
  void change_status(Change change) {
    const std::lock_guard lock(status_mutex_);
    change(status_);
  }

  void run() {
    while (!stopping_) {
      if (!worker_ && clock_.mono_ns() >= start_at_) {
        start_worker();
      }
      take_inbox();
      give_up_waiting_calls();
      flush();
      wait_for_something();
      if (worker_) {
        receive();
      }
      if (worker_) {
        kill_when_hung();
      }
    }
    worker_.reset();
    worker_pid_ = 0;
    ready_ = false;
    change_status([](BackendStatus& s) { s.health = Health::draining; });
    end_all_calls();
  }

  void start_worker() {
    started_at_ = clock_.mono_ns();  // of the attempt, so that one that fails backs off too
    auto started = WorkerProcess::start(options_.command);
    if (!started) {
      log::error("cannot start the model's worker",
                 {{"model", options_.name}, {"error", started.error().message}});
      schedule_restart(started.error().message);
      return;
    }
    worker_.emplace(*std::move(started));
    worker_pid_ = worker_->pid();
    decoder_ = wire::FrameDecoder();
    outbox_.clear();
    ready_ = false;
    last_frame_at_ = started_at_;
    log::info("started the model's worker", {{"model", options_.name}, {"pid", worker_->pid()}});
  }

  void schedule_restart(std::string failure) {
    const bool was_healthy = clock_.mono_ns() - started_at_ > kHealthyMs * kMillis;
    back_off_ms_ = was_healthy ? kBackOffFirstMs : std::min(back_off_ms_ * 3, kBackOffMaxMs);
    start_at_ = clock_.mono_ns() + back_off_ms_ * kMillis;
    change_status([&](BackendStatus& s) {
      s.health = Health::restarting;
      s.failure = std::move(failure);
      ++s.restarts;
    });
  }

  void take_inbox() {
    std::vector<std::pair<wire::InferRequest, EventSink>> arrivals;
    std::vector<std::uint64_t> cancels;
    {
      const std::lock_guard lock(inbox_mutex_);
      arrivals.swap(arrivals_);
      cancels.swap(cancels_);
    }
    for (auto& [request, sink] : arrivals) {
      accept(std::move(request), std::move(sink));
    }
    for (const std::uint64_t id : cancels) {
      cancel_call(id);
    }
    if (ready_) {
      for (auto& [id, call] : calls_) {
        send_to_worker(call);
      }
    }
  }

  void accept(wire::InferRequest request, EventSink sink) {
    const std::uint64_t fingerprint = Quarantine::fingerprint(request);
    if (quarantine_.holds(fingerprint)) {
      sink(wire::invalid("", "This request has crashed the model's worker twice and is refused.",
                         "request_quarantined"));
      return;
    }
    const std::uint64_t id = request.call_id();
    calls_.emplace(id, Call{.request = std::move(request),
                            .sink = std::move(sink),
                            .fingerprint = fingerprint,
                            .give_up_at = clock_.mono_ns() + options_.load_wait_ms * kMillis});
  }

  void send_to_worker(Call& call) {
    if (call.in_worker) {
      return;
    }
    wire::ToWorker frame;
    *frame.mutable_infer() = call.request;
    outbox_ += wire::encode_frame(frame);
    call.in_worker = true;
    ++call.runs;
  }

  void cancel_call(std::uint64_t id) {
    const auto found = calls_.find(id);
    if (found == calls_.end()) {
      return;
    }
    if (found->second.in_worker) {
      wire::ToWorker frame;
      frame.mutable_cancel()->set_call_id(id);
      outbox_ += wire::encode_frame(frame);
      found->second.cancelled = true;
      return;
    }
    finish_cancelled(found);
  }

  void finish_cancelled(Calls::iterator call) {
    wire::Finished finished;
    finished.set_call_id(call->first);
    finished.set_cancelled(true);
    finish(call, finished);
  }

  void finish(Calls::iterator call, InferenceEvent last) {
    EventSink sink = std::move(call->second.sink);
    calls_.erase(call);
    sink(std::move(last));
  }

  void give_up_waiting_calls() {
    if (ready_) {
      return;
    }
    const MonoNanos now = clock_.mono_ns();
    for (auto it = calls_.begin(); it != calls_.end();) {
      const auto call = it++;
      if (!call->second.in_worker && now >= call->second.give_up_at) {
        finish(call, unavailable("model_loading",
                                 "The model is still being loaded; try again shortly.", 5));
      }
    }
  }

  void flush() {
    while (worker_ && !outbox_.empty()) {
      const ssize_t put = ::send(worker_->socket(), outbox_.data(), outbox_.size(), MSG_NOSIGNAL);
      if (put < 0) {
        if (errno == EINTR) {
          continue;
        }
        return;  // full: poll() says when; broken: receive() sees the end
      }
      outbox_.erase(0, static_cast<std::size_t>(put));
    }
  }

  void wait_for_something() const {
    pollfd watched[2] = {{wake_.get(), POLLIN, 0}, {-1, 0, 0}};
    if (worker_) {
      watched[1] = {worker_->socket(),
                    static_cast<short>(outbox_.empty() ? POLLIN : POLLIN | POLLOUT), 0};
    }
    // Time passes for back-off, waiting calls and the hang check only.
    const int timeout_ms = worker_ && calls_.empty() ? 1'000 : 20;
    ::poll(watched, 2, timeout_ms);
    std::uint64_t drained = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &drained, sizeof drained);
  }

  void receive() {
    char buffer[64 * 1024];
    for (;;) {
      const ssize_t got = ::recv(worker_->socket(), buffer, sizeof buffer, 0);
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return;
      }
      if (got <= 0) {
        worker_ended();
        return;
      }
      last_frame_at_ = clock_.mono_ns();
      decoder_.feed({buffer, static_cast<std::size_t>(got)});
      if (!take_frames()) {
        return;
      }
    }
  }

  // False when the worker had to be given up.
  bool take_frames() {
    for (;;) {
      wire::FromWorker frame;
      const auto got = decoder_.next(frame);
      if (!got) {
        log::error("the worker broke the frame format; it is killed",
                   {{"model", options_.name}, {"error", got.error().message}});
        worker_ended();
        return false;
      }
      if (!*got) {
        return true;
      }
      take_frame(frame);
    }
  }

  void take_frame(wire::FromWorker& frame) {
    switch (frame.frame_case()) {
      case wire::FromWorker::kProgress:
        take_progress(frame.progress());
        return;
      case wire::FromWorker::kReady:
        take_ready(frame.ready());
        return;
      case wire::FromWorker::kDelta: {
        const std::uint64_t id = frame.delta().call_id();
        pass_on(id, std::move(*frame.mutable_delta()));
        return;
      }
      case wire::FromWorker::kChoiceFinished: {
        const std::uint64_t id = frame.choice_finished().call_id();
        pass_on(id, std::move(*frame.mutable_choice_finished()));
        return;
      }
      case wire::FromWorker::kVectors: {
        const std::uint64_t id = frame.vectors().call_id();
        pass_on(id, std::move(*frame.mutable_vectors()));
        return;
      }
      case wire::FromWorker::kScores: {
        const std::uint64_t id = frame.scores().call_id();
        pass_on(id, std::move(*frame.mutable_scores()));
        return;
      }
      case wire::FromWorker::kFinished: {
        const auto call = calls_.find(frame.finished().call_id());
        if (call != calls_.end()) {
          quarantine_.clear(call->second.fingerprint);
          finish(call, std::move(*frame.mutable_finished()));
        }
        return;
      }
      case wire::FromWorker::kRefused: {
        const auto call = calls_.find(frame.refused().call_id());
        if (call != calls_.end()) {
          finish(call, from_worker(frame.refused()));
        }
        return;
      }
      case wire::FromWorker::kStats:
        change_status([&](BackendStatus& s) { s.stats = frame.stats(); });
        return;
      case wire::FromWorker::kFatal:
        fatal_ = frame.fatal();
        log::error("the model's worker gives up", {{"model", options_.name}, {"reason", fatal_}});
        return;
      case wire::FromWorker::FRAME_NOT_SET:
        return;
    }
  }

  void pass_on(std::uint64_t id, InferenceEvent event) {
    const auto call = calls_.find(id);
    if (call != calls_.end()) {
      call->second.begun = true;
      call->second.sink(std::move(event));
    }
  }

  void take_progress(const wire::LoadProgress& progress) {
    if (!progress.cpu_variant().empty()) {
      variant_ = progress.cpu_variant();
    }
    change_status([&](BackendStatus& s) { s.load_fraction = progress.fraction(); });
    if (clock_.mono_ns() - progress_logged_at_ >= kProgressLogMs * kMillis) {
      progress_logged_at_ = clock_.mono_ns();
      log::info("loading the model", {{"model", options_.name},
                                      {"percent", static_cast<int>(progress.fraction() * 100)},
                                      {"cpu_variant", variant_}});
    }
  }

  void take_ready(const wire::Ready& facts) {
    ready_ = true;
    variant_ = facts.cpu_variant();
    back_off_ms_ = kBackOffFirstMs / 3;
    fatal_.clear();
    change_status([&](BackendStatus& s) {
      s.health = Health::ready;
      s.load_fraction = 1;
      s.facts = facts;
    });
    log::info("the model is ready", {{"model", options_.name},
                                     {"description", facts.description()},
                                     {"context_tokens", facts.context_tokens()},
                                     {"cells", facts.cells()},
                                     {"cpu_variant", facts.cpu_variant()},
                                     {"threads", facts.threads()},
                                     {"sandbox", facts.sandbox()},
                                     {"load_ms", (clock_.mono_ns() - started_at_) / kMillis}});
    take_inbox();
  }

  // The worker's socket has closed, or it broke the protocol.
  void worker_ended() {
    const WorkerExit exit = worker_->finish();
    worker_.reset();
    worker_pid_ = 0;
    ready_ = false;
    log::warn("the model's worker ended", {{"model", options_.name}, {"how", exit.text()}});
    if (exit.illegal_instruction() && !variant_.empty()) {
      log::warn("this CPU variant faults on this machine and is avoided from now on",
                {{"model", options_.name}, {"cpu_variant", variant_}});
      options_.command.avoided_variants.push_back(variant_);
      if (options_.on_variant_avoided) {
        options_.on_variant_avoided(variant_);
      }
      started_at_ = 0;  // trying the next variant is no reason to wait
    }
    schedule_restart(fatal_.empty() ? exit.text() : fatal_);
    settle_calls_of_dead_worker(exit.crashed());
  }

  void settle_calls_of_dead_worker(bool crashed) {
    for (auto it = calls_.begin(); it != calls_.end();) {
      const auto call = it++;
      if (!call->second.in_worker) {
        continue;
      }
      if (crashed) {
        quarantine_.strike(call->second.fingerprint);
      }
      call->second.in_worker = false;
      call->second.give_up_at = clock_.mono_ns() + options_.load_wait_ms * kMillis;
      if (call->second.cancelled) {
        finish_cancelled(call);
      } else if (call->second.begun || call->second.runs > 1) {
        finish(call, Broken{worker_crashed()});
      }
    }
  }

  void kill_when_hung() {
    const bool busy =
        std::ranges::any_of(calls_, [](const auto& entry) { return entry.second.in_worker; });
    if (!busy) {
      last_frame_at_ = clock_.mono_ns();
      return;
    }
    if (clock_.mono_ns() - last_frame_at_ > options_.hang_ms * kMillis) {
      log::error("the model's worker is busy but silent; it is killed", {{"model", options_.name}});
      fatal_ = "the worker hung";
      worker_ended();
    }
  }

  void end_all_calls() {
    take_inbox();
    while (!calls_.empty()) {
      finish(calls_.begin(), Broken{unavailable("draining", "The server is shutting down.", 1)});
    }
  }

  LocalBackendOptions options_;
  const Clock& clock_;
  UniqueFd wake_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> next_call_ = 1;
  std::atomic<pid_t> worker_pid_ = 0;

  mutable std::mutex status_mutex_;
  BackendStatus status_;

  std::mutex inbox_mutex_;
  std::vector<std::pair<wire::InferRequest, EventSink>> arrivals_;
  std::vector<std::uint64_t> cancels_;
  bool stopped_ = false;
  std::mutex shut_down_mutex_;

  // Only the supervisor's thread touches what follows.
  std::optional<WorkerProcess> worker_;
  wire::FrameDecoder decoder_;
  std::string outbox_;
  Calls calls_;
  Quarantine quarantine_;
  std::string variant_;
  std::string fatal_;
  bool ready_ = false;
  MonoNanos progress_logged_at_ = 0;
  std::int64_t back_off_ms_ = kBackOffFirstMs / 3;
  MonoNanos start_at_ = 0;
  MonoNanos started_at_ = 0;
  MonoNanos last_frame_at_ = 0;
  std::thread thread_;
};

LocalBackend::LocalBackend(LocalBackendOptions options, const Clock& clock)
    : supervisor_(std::make_unique<Supervisor>(std::move(options), clock)) {}
LocalBackend::~LocalBackend() = default;

CallId LocalBackend::submit(wire::InferRequest request, EventSink sink) {
  return supervisor_->submit(std::move(request), std::move(sink));
}
void LocalBackend::cancel(CallId call) {
  supervisor_->cancel(call);
}
BackendStatus LocalBackend::status() const {
  return supervisor_->status();
}
void LocalBackend::shut_down() {
  supervisor_->shut_down();
}
pid_t LocalBackend::worker_pid() const {
  return supervisor_->worker_pid();
}

}  // namespace deepmoat::backend
