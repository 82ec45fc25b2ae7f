// One worker process: started with a socketpair as its only connection, watched, ended.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace deepmoat::backend {

// What starts a worker. The worker gets no environment of ours: it may hold secrets.
struct WorkerCommand {
  std::string program;  // path of deepmoat-worker
  std::string model_path;
  std::int64_t threads = 0;
  std::int64_t cells = 0;
  std::int64_t max_batch_size = 128;
  std::int64_t step_tokens = 0;
  std::int64_t step_ms = 0;
  std::int64_t spill_mib = -1;  // below 0: chosen by the worker
  std::int64_t queue_max = 0;
  std::int64_t tenant_queue_max = 0;
  std::string task = "auto";
  std::string pooling;
  std::string layout = "auto";
  std::vector<std::string> adapters;         // NAME=FILE[:SCALE]
  std::vector<std::string> public_prefixes;  // files
  std::string cpu_variant = "auto";
  std::vector<std::string> avoided_variants;  // those that died in their self-test
};

// How a worker ended.
struct WorkerExit {
  int signal = 0;  // 0: it exited by itself
  int status = 0;

  // The CPU variant faulted in its self-test (worker/exit_codes: 86), or later with SIGILL.
  [[nodiscard]] bool illegal_instruction() const;
  // A crash that a request may have caused; SIGKILL and SIGTERM come from outside.
  [[nodiscard]] bool crashed() const;
  [[nodiscard]] std::string text() const;
};

// Owns the process; its destructor kills and reaps it. Used by one thread.
class WorkerProcess {
 public:
  static Result<WorkerProcess> start(const WorkerCommand& command);
  WorkerProcess(WorkerProcess&& other) noexcept;
  WorkerProcess& operator=(WorkerProcess&& other) noexcept;
  ~WorkerProcess();

  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] pid_t pid() const { return pid_; }

  // Kills the worker if it still runs, and waits for its end.
  WorkerExit finish();

 private:
  WorkerProcess(pid_t pid, UniqueFd socket) : pid_(pid), socket_(std::move(socket)) {}

  pid_t pid_ = -1;
  UniqueFd socket_;
};

}  // namespace deepmoat::backend
