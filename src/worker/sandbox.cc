#include "worker/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>

#include "base/file.h"

namespace deepmoat::worker {

namespace {

// Landlock's kernel interface (linux/landlock.h), which Debian 12's headers know only in part.
struct LandlockRuleset {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scoped = 0;
};
struct [[gnu::packed]] LandlockPath {
  std::uint64_t allowed = 0;
  std::int32_t parent_fd = -1;
};
constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr std::uint32_t kAskVersion = 1;
constexpr int kPathBeneath = 1;
constexpr std::uint64_t kReadFile = 1U << 2U;
constexpr std::uint64_t kReadDir = 1U << 3U;
constexpr std::uint64_t kWriteFile = 1U << 1U;
constexpr std::uint64_t kTruncate = 1U << 14U;
constexpr std::uint64_t kIoctlDev = 1U << 15U;

std::uint64_t file_rights(int abi) {
  std::uint64_t rights = (1U << 13U) - 1;  // ABI 1
  rights |= abi >= 2 ? 1ULL << 13U : 0;    // linking to another folder
  rights |= abi >= 3 ? 1ULL << 14U : 0;    // truncating
  rights |= abi >= 5 ? kIoctlDev : 0;
  return rights;
}

Result<> allow_path(int ruleset, const std::filesystem::path& path, std::uint64_t rights) {
  const UniqueFd file(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!file.valid()) {
    return fail_errno(Code::not_found, "open " + path.string());
  }
  const LandlockPath rule{.allowed = rights, .parent_fd = file.get()};
  if (::syscall(kAddRule, ruleset, kPathBeneath, &rule, 0) != 0) {
    return fail_errno(Code::internal, "Landlock rule for " + path.string());
  }
  return {};
}

Result<> enter_landlock(const SandboxOptions& options, int abi) {
  LandlockRuleset wanted{.files = file_rights(abi)};
  std::size_t size = sizeof wanted.files;
  if (abi >= 4) {
    wanted.network = 3;  // binding and connecting TCP
    size = 2 * sizeof wanted.files;
  }
  if (abi >= 6) {
    wanted.scoped = 3;  // abstract sockets and signals of other processes
    size = sizeof wanted;
  }
  const UniqueFd ruleset(static_cast<int>(::syscall(kCreateRuleset, &wanted, size, 0)));
  if (!ruleset.valid()) {
    return fail_errno(Code::internal, "Landlock ruleset");
  }
  for (const auto& path : options.readable) {
    CHECK_OK(allow_path(ruleset.get(), path, kReadFile));
  }
  for (const auto& path : options.writable) {
    CHECK_OK(
        allow_path(ruleset.get(), path, (kReadFile | kWriteFile | kTruncate) & file_rights(abi)));
  }
  if (options.accelerators) {
    const std::uint64_t device = kReadFile | kReadDir | kWriteFile | (abi >= 5 ? kIoctlDev : 0);
    CHECK_OK(allow_path(ruleset.get(), "/dev", device));
    CHECK_OK(allow_path(ruleset.get(), "/proc", kReadFile | kReadDir));
    CHECK_OK(allow_path(ruleset.get(), "/sys", kReadFile | kReadDir));
  }
  if (::syscall(kRestrictSelf, ruleset.get(), 0) != 0) {
    return fail_errno(Code::internal, "Landlock");
  }
  return {};
}

struct ReleaseFilter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, ReleaseFilter>;

// What computing on the CPU needs. Opening is limited to reading here and to the model by Landlock.
constexpr std::array kAllowed = {"read",
                                 "readv",
                                 "pread64",
                                 "write",
                                 "writev",
                                 "recvfrom",
                                 "recvmsg",
                                 "sendto",
                                 "sendmsg",
                                 "poll",
                                 "ppoll",
                                 "close",
                                 "fstat",
                                 "newfstatat",
                                 "statx",
                                 "lseek",
                                 "fadvise64",
                                 "access",
                                 "faccessat",
                                 "faccessat2",
                                 "readlink",
                                 "readlinkat",
                                 "munmap",
                                 "mremap",
                                 "madvise",
                                 "mincore",
                                 "mlock",
                                 "munlock",
                                 "brk",
                                 "futex",
                                 "set_robust_list",
                                 "get_robust_list",
                                 "rseq",
                                 "exit",
                                 "exit_group",
                                 "sched_yield",
                                 "sched_getaffinity",
                                 "sched_setaffinity",
                                 "sched_getparam",
                                 "sched_getscheduler",
                                 "sched_get_priority_max",
                                 "sched_get_priority_min",
                                 "getcpu",
                                 "gettid",
                                 "getpid",
                                 "getuid",
                                 "geteuid",
                                 "clock_gettime",
                                 "clock_getres",
                                 "clock_nanosleep",
                                 "nanosleep",
                                 "gettimeofday",
                                 "time",
                                 "rt_sigaction",
                                 "rt_sigprocmask",
                                 "rt_sigreturn",
                                 "sigaltstack",
                                 "getrandom",
                                 "sysinfo",
                                 "uname",
                                 "getrusage",
                                 "times",
                                 "membarrier",
                                 "restart_syscall",
                                 "get_mempolicy",
                                 "arch_prctl",
                                 "set_tid_address",
                                 "getdents64"};

// What no model needs even with a driver.
constexpr std::array kDenied = {"execve",
                                "execveat",
                                "ptrace",
                                "process_vm_readv",
                                "process_vm_writev",
                                "connect",
                                "bind",
                                "listen",
                                "accept",
                                "accept4",
                                "mount",
                                "umount2",
                                "pivot_root",
                                "chroot",
                                "setns",
                                "unshare",
                                "kexec_load",
                                "kexec_file_load",
                                "init_module",
                                "finit_module",
                                "delete_module",
                                "bpf",
                                "perf_event_open",
                                "userfaultfd",
                                "keyctl",
                                "add_key",
                                "request_key",
                                "open_by_handle_at",
                                "io_uring_setup",
                                "io_uring_enter",
                                "io_uring_register",
                                "reboot",
                                "swapon",
                                "swapoff",
                                "setuid",
                                "setgid",
                                "setresuid",
                                "setresgid",
                                "unlink",
                                "unlinkat",
                                "rename",
                                "renameat",
                                "renameat2",
                                "link",
                                "linkat",
                                "symlink",
                                "symlinkat",
                                "kill",
                                "tkill",
                                "pidfd_open",
                                "pidfd_getfd",
                                "pidfd_send_signal"};

Result<> add_rule(const Filter& filter, std::uint32_t action, const char* name,
                  std::initializer_list<scmp_arg_cmp> arguments = {}) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR || number < 0) {
    return {};  // not on this processor
  }
  const int status = seccomp_rule_add_array(
      filter.get(), action, number, static_cast<unsigned>(arguments.size()), arguments.begin());
  if (status != 0) {
    return fail(Code::internal, fmt::format("seccomp rule for {}: error {}", name, -status));
  }
  return {};
}

// `writing`: which files may be written is then Landlock's matter.
Result<> add_limited(const Filter& filter, bool writing) {
  const auto none_of = [](unsigned argument, std::uint64_t bits) {
    return scmp_arg_cmp{argument, SCMP_CMP_MASKED_EQ, bits, 0};
  };
  const auto equals = [](unsigned argument, std::uint64_t value) {
    return scmp_arg_cmp{argument, SCMP_CMP_EQ, value, 0};
  };
  const std::uint64_t changing = writing ? 0 : O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
  const auto self = static_cast<std::uint64_t>(::getpid());
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "openat", {none_of(2, changing)}));
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "open", {none_of(1, changing)}));
  // No new code: memory becomes executable neither at mapping nor later.
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "mmap", {none_of(2, 4)}));
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "mprotect", {none_of(2, 4)}));
  // Threads yes, processes no. clone3 hides its flags behind a pointer: the C library then takes
  // clone.
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "clone",
                    {scmp_arg_cmp{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD}}));
  CHECK_OK(add_rule(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3"));
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "tgkill", {equals(0, self)}));  // abort()
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "prctl", {equals(0, PR_SET_NAME)}));
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "prlimit64", {equals(2, 0)}));  // reading
  CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, "fcntl", {equals(1, F_GETFL)}));
  return add_rule(filter, SCMP_ACT_ALLOW, "fcntl", {equals(1, F_GETFD)});
}

Result<> enter_seccomp(bool accelerators, bool writing) {
  const std::uint32_t otherwise = accelerators ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);
  const Filter filter(seccomp_init(otherwise));
  if (!filter) {
    return fail(Code::unavailable, "seccomp is not available");
  }
  if (accelerators) {
    for (const char* name : kDenied) {
      CHECK_OK(add_rule(filter, SCMP_ACT_ERRNO(EPERM), name));
    }
  } else {
    for (const char* name : kAllowed) {
      CHECK_OK(add_rule(filter, SCMP_ACT_ALLOW, name));
    }
    CHECK_OK(add_limited(filter, writing));
  }
  if (const int status = seccomp_load(filter.get()); status != 0) {
    return fail(Code::unavailable, fmt::format("seccomp filter: error {}", -status));
  }
  return {};
}

}  // namespace

int landlock_abi() {
  const long version = ::syscall(kCreateRuleset, nullptr, 0, kAskVersion);
  return version > 0 ? static_cast<int>(version) : 0;
}

std::vector<std::filesystem::path> model_parts(const std::filesystem::path& model) {
  const std::string stem = model.stem().string();
  const std::size_t of = stem.rfind("-of-");
  std::vector<std::filesystem::path> parts{model};
  if (of == std::string::npos || of < 6 || stem.size() != of + 9) {
    return parts;
  }
  const std::string prefix = stem.substr(0, of - 5);
  const std::string count = stem.substr(of);
  std::error_code error;
  for (int i = 1; i < 100'000; ++i) {
    auto part = model;
    part.replace_filename(fmt::format("{}{:05}{}{}", prefix, i, count, model.extension().string()));
    if (!std::filesystem::exists(part, error)) {
      break;
    }
    if (part != model) {
      parts.push_back(part);
    }
  }
  return parts;
}

Result<std::string> enter_sandbox(const SandboxOptions& options) {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0) != 0 ||
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return fail_errno(Code::unavailable, "cannot give up privileges");
  }
  const int abi = landlock_abi();
  if (abi > 0) {
    CHECK_OK(enter_landlock(options, abi));
  }
  CHECK_OK(enter_seccomp(options.accelerators, !options.writable.empty()));
  const char* filter = options.accelerators ? "seccomp(device)" : "seccomp";
  return abi > 0 ? fmt::format("landlock({})+{}", abi, filter) : std::string(filter);
}

}  // namespace deepmoat::worker
