#include "backend/local/supervisor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/unavailable.h"
#include "base/log.h"

namespace deepmoat::backend {

namespace {

constexpr MonoNanos kMillis = 1'000'000;
constexpr std::int64_t kBackOffFirstMs = 50;
constexpr std::int64_t kBackOffMaxMs = 10'000;
constexpr std::int64_t kProgressLogMs = 1'000;
// A worker that lived this long starts again with no back-off.
constexpr std::int64_t kHealthyMs = 60'000;

}  // namespace

LocalBackend::Supervisor::Supervisor(LocalBackendOptions options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      calls_(clock, options_.load_wait_ms),
      back_off_ms_(kBackOffFirstMs / 3) {
  thread_ = std::thread([this] { run(); });
}

// --- from other threads ---

CallId LocalBackend::Supervisor::submit(wire::InferRequest request, EventSink sink) {
  if (request.call_id() == 0) {
    request.set_call_id(next_call_.fetch_add(1));
  }
  const CallId id(request.call_id());
  {
    const std::lock_guard lock(inbox_mutex_);
    if (!stopped_) {
      arrivals_.emplace_back(std::move(request), std::move(sink));
      sink = nullptr;
    }
  }
  if (sink) {
    sink(Broken{shutting_down()});
  }
  wake();
  return id;
}

void LocalBackend::Supervisor::cancel(CallId call) {
  {
    const std::lock_guard lock(inbox_mutex_);
    cancels_.push_back(call.value());
  }
  wake();
}

BackendStatus LocalBackend::Supervisor::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

void LocalBackend::Supervisor::shut_down() {
  const std::lock_guard lock(shut_down_mutex_);
  stopping_ = true;
  wake();
  if (thread_.joinable()) {
    thread_.join();
    {
      const std::lock_guard inbox_lock(inbox_mutex_);
      stopped_ = true;
    }
    take_inbox();  // what came while the thread ended
    calls_.end_all(shutting_down());
  }
}

void LocalBackend::Supervisor::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(wake_.get(), &one, sizeof one);
}

template <class Change>
void LocalBackend::Supervisor::change_status(Change change) {
  const std::lock_guard lock(status_mutex_);
  change(status_);
}

void LocalBackend::Supervisor::set_health(Health health) {
  health_ = health;
  change_status([health](BackendStatus& s) { s.health = health; });
}

// --- the thread ---

void LocalBackend::Supervisor::run() {
  while (!stopping_) {
    if (!worker_ && clock_.mono_ns() >= start_at_) {
      start_worker();
    }
    take_inbox();
    if (!ready_) {
      calls_.give_up_waiting();
    }
    flush();
    wait_for_something();
    if (worker_) {
      receive();
    }
    if (worker_) {
      kill_when_hung();
    }
  }
  forget_worker();
  set_health(Health::draining);
  take_inbox();
  calls_.end_all(shutting_down());
}

void LocalBackend::Supervisor::take_inbox() {
  std::vector<std::pair<wire::InferRequest, EventSink>> arrivals;
  std::vector<std::uint64_t> cancels;
  {
    const std::lock_guard lock(inbox_mutex_);
    arrivals.swap(arrivals_);
    cancels.swap(cancels_);
  }
  for (auto& [request, sink] : arrivals) {
    calls_.accept(std::move(request), std::move(sink));
  }
  for (const std::uint64_t id : cancels) {
    calls_.cancel(id, outbox_);
  }
  if (ready_) {
    calls_.send_waiting(outbox_);
  }
}

void LocalBackend::Supervisor::wait_for_something() const {
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

// --- the process ---

void LocalBackend::Supervisor::start_worker() {
  started_at_ = clock_.mono_ns();  // of the attempt, so that one that fails backs off too
  auto started = WorkerProcess::start(options_.command);
  if (!started) {
    log::error("cannot start the model's worker",
               {{"model", options_.name}, {"error", started.error().message}});
    schedule_restart(started.error().message, true);
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

// `counts`: as a failed start, when it had not become ready.
void LocalBackend::Supervisor::schedule_restart(std::string failure, bool counts) {
  const bool was_healthy = clock_.mono_ns() - started_at_ > kHealthyMs * kMillis;
  back_off_ms_ = was_healthy ? kBackOffFirstMs : std::min(back_off_ms_ * 3, kBackOffMaxMs);
  start_at_ = clock_.mono_ns() + back_off_ms_ * kMillis;
  health_ = Health::restarting;
  change_status([&](BackendStatus& s) {
    s.health = Health::restarting;
    s.failure = std::move(failure);
    ++s.restarts;
    s.failed_starts += counts ? 1 : 0;
  });
}

void LocalBackend::Supervisor::forget_worker() {
  worker_.reset();
  worker_pid_ = 0;
  ready_ = false;
}

// The worker's socket has closed, or it broke the protocol.
void LocalBackend::Supervisor::worker_ended() {
  const WorkerExit exit = worker_->finish();
  const bool was_ready = ready_;
  forget_worker();
  log::warn("the model's worker ended", {{"model", options_.name}, {"how", exit.text()}});
  const bool variant_faults = exit.illegal_instruction() && !variant_.empty();
  if (variant_faults) {
    log::warn("this CPU variant faults on this machine and is avoided from now on",
              {{"model", options_.name}, {"cpu_variant", variant_}});
    options_.command.avoided_variants.push_back(variant_);
    if (options_.on_variant_avoided) {
      options_.on_variant_avoided(variant_);
    }
    started_at_ = 0;  // trying the next variant is no reason to wait
  }
  schedule_restart(fatal_.empty() ? exit.text() : fatal_, !was_ready && !variant_faults);
  calls_.worker_died(exit.crashed());
}

void LocalBackend::Supervisor::kill_when_hung() {
  if (!calls_.busy()) {
    last_frame_at_ = clock_.mono_ns();
    return;
  }
  if (clock_.mono_ns() - last_frame_at_ > options_.hang_ms * kMillis) {
    log::error("the model's worker is busy but silent; it is killed", {{"model", options_.name}});
    fatal_ = "the worker hung";
    worker_ended();
  }
}

// --- its socket ---

void LocalBackend::Supervisor::flush() {
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

void LocalBackend::Supervisor::receive() {
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
bool LocalBackend::Supervisor::take_frames() {
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

void LocalBackend::Supervisor::take_frame(wire::FromWorker& frame) {
  if (calls_.take(frame)) {
    return;
  }
  switch (frame.frame_case()) {
    case wire::FromWorker::kProgress:
      take_progress(frame.progress());
      return;
    case wire::FromWorker::kReady:
      take_ready(frame.ready());
      return;
    case wire::FromWorker::kStats:
      change_status([&](BackendStatus& s) { s.stats = frame.stats(); });
      return;
    case wire::FromWorker::kFatal:
      fatal_ = frame.fatal();
      log::error("the model's worker gives up", {{"model", options_.name}, {"reason", fatal_}});
      return;
    default:
      return;
  }
}

void LocalBackend::Supervisor::take_progress(const wire::LoadProgress& progress) {
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

void LocalBackend::Supervisor::take_ready(const wire::Ready& facts) {
  ready_ = true;
  variant_ = facts.cpu_variant();
  back_off_ms_ = kBackOffFirstMs / 3;
  fatal_.clear();
  health_ = Health::ready;
  change_status([&](BackendStatus& s) {
    s.health = Health::ready;
    s.load_fraction = 1;
    s.failed_starts = 0;
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

}  // namespace deepmoat::backend
