// Keeps one worker process alive and its calls answered, on a thread of its own.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backend/local/call_table.h"
#include "backend/local/local_backend.h"
#include "backend/local/worker_process.h"
#include "base/file.h"
#include "wire/frame.h"

namespace deepmoat::backend {

// Other threads leave messages in the inbox; the supervisor's own thread does the rest.
class LocalBackend::Supervisor {
 public:
  Supervisor(LocalBackendOptions options, const Clock& clock);
  ~Supervisor() { shut_down(); }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  CallId submit(wire::InferRequest request, EventSink sink);
  void cancel(CallId call);
  [[nodiscard]] BackendStatus status() const;
  [[nodiscard]] Health health() const { return health_; }
  [[nodiscard]] pid_t worker_pid() const { return worker_pid_; }
  void shut_down();

 private:
  void wake() const;
  template <class Change>
  void change_status(Change change);
  void set_health(Health health);

  // The thread.
  void run();
  void take_inbox();
  void wait_for_something() const;
  // The process.
  void start_worker();
  void schedule_restart(std::string failure, bool counts);
  void worker_ended();
  void forget_worker();
  void kill_when_hung();
  // Its socket.
  void flush();
  void receive();
  bool take_frames();
  void take_frame(wire::FromWorker& frame);
  void take_progress(const wire::LoadProgress& progress);
  void take_ready(const wire::Ready& facts);

  LocalBackendOptions options_;
  const Clock& clock_;
  UniqueFd wake_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> next_call_ = 1;
  std::atomic<pid_t> worker_pid_ = 0;
  std::atomic<Health> health_ = Health::loading;

  mutable std::mutex status_mutex_;
  BackendStatus status_;

  std::mutex inbox_mutex_;
  std::vector<std::pair<wire::InferRequest, EventSink>> arrivals_;
  std::vector<std::uint64_t> cancels_;
  bool stopped_ = false;
  std::mutex shut_down_mutex_;

  // Only the supervisor's thread touches what follows.
  CallTable calls_;
  std::optional<WorkerProcess> worker_;
  wire::FrameDecoder decoder_;
  std::string outbox_;
  std::string variant_;
  std::string fatal_;
  bool ready_ = false;
  MonoNanos progress_logged_at_ = 0;
  std::int64_t back_off_ms_ = 0;
  MonoNanos start_at_ = 0;
  MonoNanos started_at_ = 0;
  MonoNanos last_frame_at_ = 0;
  std::thread thread_;
};

}  // namespace deepmoat::backend
