// A local model: one worker process and the thread that supervises it.
//
// The thread owns the process and all calls; submit() and cancel() leave a message for it. When
// the worker dies it is started again with back-off; calls that had sent nothing yet run again
// once, the others get Broken. A CPU variant that faults is avoided from then on.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/local/worker_process.h"
#include "base/clock.h"

namespace deepmoat::backend {

struct LocalBackendOptions {
  std::string name;  // the model's name, for the log
  WorkerCommand command;
  std::int64_t load_wait_ms = 20'000;  // how long a call waits for a worker that is starting
  // Told, on the supervisor's thread, of each CPU variant that faults here; to remember it.
  std::function<void(const std::string& variant)> on_variant_avoided;
  std::int64_t hang_ms = 120'000;  // silence of a busy worker after which it is killed
};

class LocalBackend final : public Backend {
 public:
  // Starts the thread, which starts the worker; returns at once.
  LocalBackend(LocalBackendOptions options, const Clock& clock);
  // As shut_down().
  ~LocalBackend() override;

  CallId submit(wire::InferRequest request, EventSink sink) override;
  void cancel(CallId call) override;
  [[nodiscard]] BackendStatus status() const override;
  [[nodiscard]] Health health() const override;
  void shut_down() override;

  // The running worker's process id, 0 when there is none; for tests and the doctor.
  [[nodiscard]] pid_t worker_pid() const;

 private:
  class Supervisor;
  std::unique_ptr<Supervisor> supervisor_;
};

}  // namespace deepmoat::backend
