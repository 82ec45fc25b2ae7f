#include "backend/local/worker_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace deepmoat::backend {

namespace {

constexpr int kChildSocket = 3;
constexpr int kExitIllegalInstruction =
    86;  // worker/exit_codes.h; the gateway links no worker code

std::vector<std::string> arguments(const WorkerCommand& command) {
  std::vector<std::string> list = {command.program, "--fd", std::to_string(kChildSocket), "--model",
                                   command.model_path};
  const auto add = [&](const char* flag, std::int64_t value) {
    if (value > 0) {
      list.emplace_back(flag);
      list.push_back(std::to_string(value));
    }
  };
  const auto add_text = [&](const char* flag, const std::string& value) {
    if (!value.empty()) {
      list.emplace_back(flag);
      list.push_back(value);
    }
  };
  add("--threads", command.threads);
  add("--cells", command.cells);
  add("--max-batch-size", command.max_batch_size);
  add("--step-tokens", command.step_tokens);
  add("--step-ms", command.step_ms);
  if (command.spill_mib >= 0) {
    add_text("--spill-mib", std::to_string(command.spill_mib));
  }
  add("--queue-max", command.queue_max);
  add("--tenant-queue-max", command.tenant_queue_max);
  add_text("--task", command.task);
  add_text("--pooling", command.pooling);
  add_text("--layout", command.layout);
  add_text("--cpu-variant", command.cpu_variant);
  for (const std::string& adapter : command.adapters) {
    add_text("--adapter", adapter);
  }
  for (const std::string& file : command.public_prefixes) {
    add_text("--public-prefix", file);
  }
  for (const std::string& variant : command.avoided_variants) {
    add_text("--cpu-variant-avoid", variant);
  }
  return list;
}

std::vector<char*> pointers(std::vector<std::string>& list) {
  std::vector<char*> made;
  made.reserve(list.size() + 1);
  for (std::string& item : list) {
    made.push_back(item.data());
  }
  made.push_back(nullptr);
  return made;
}

}  // namespace

bool WorkerExit::illegal_instruction() const {
  return signal == SIGILL || status == kExitIllegalInstruction;
}

bool WorkerExit::crashed() const {
  return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGFPE ||
         signal == SIGILL || signal == SIGSYS;
}

std::string WorkerExit::text() const {
  if (signal != 0) {
    return "killed by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
  }
  return "exited with status " + std::to_string(status);
}

Result<WorkerProcess> WorkerProcess::start(const WorkerCommand& command) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno(Code::io, "socketpair");
  }
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);

  // Its own process group: Ctrl-C reaches the gateway alone, which then decides how calls end.
  // And none of the gateway's blocked or ignored signals.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigaddset(&signals, SIGPIPE);
  sigaddset(&signals, SIGXFSZ);
  posix_spawnattr_setsigdefault(&attributes, &signals);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kChildSocket);
  if (theirs.get() == kChildSocket) {
    // dup2 onto itself would keep close-on-exec.
    ::fcntl(theirs.get(), F_SETFD, 0);
  }
  // Whatever else is open here, by us or by who started us, is no business of a worker.
  posix_spawn_file_actions_addclosefrom_np(&actions, kChildSocket + 1);
  std::vector<std::string> list = arguments(command);
  // OpenMP threads that spin at a barrier cost up to 20x on a busy machine (docs/decisions).
  std::vector<std::string> environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8",
                                          "OMP_WAIT_POLICY=passive", "GOMP_SPINCOUNT=0"};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, command.program.c_str(), &actions, &attributes,
                                  pointers(list).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    errno = error;
    return fail_errno(Code::unavailable, "start " + command.program);
  }
  return WorkerProcess(pid, std::move(ours));
}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), socket_(std::move(other.socket_)) {}

WorkerProcess& WorkerProcess::operator=(WorkerProcess&& other) noexcept {
  finish();
  pid_ = std::exchange(other.pid_, -1);
  socket_ = std::move(other.socket_);
  return *this;
}

WorkerProcess::~WorkerProcess() {
  finish();
}

WorkerExit WorkerProcess::finish() {
  WorkerExit exit;
  if (pid_ <= 0) {
    return exit;
  }
  socket_.reset();
  // A worker whose socket has closed is on its way out; what does not go is killed.
  int status = 0;
  pid_t reaped = 0;
  for (int tries = 0; tries < 50 && reaped == 0; ++tries) {
    reaped = ::waitpid(pid_, &status, WNOHANG);
    if (reaped == 0) {
      ::usleep(10'000);
    }
  }
  if (reaped == 0) {
    ::kill(pid_, SIGKILL);
    while ((reaped = ::waitpid(pid_, &status, 0)) < 0 && errno == EINTR) {
    }
  }
  pid_ = -1;
  if (reaped > 0 && WIFSIGNALED(status)) {
    exit.signal = WTERMSIG(status);
  } else if (reaped > 0 && WIFEXITED(status)) {
    exit.status = WEXITSTATUS(status);
  }
  return exit;
}

}  // namespace deepmoat::backend
