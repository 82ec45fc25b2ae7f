// `deepmoat doctor`: what this machine offers, and what to mend.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/data_folder.h"
#include "cli/doctor_report.h"
#include "crypto/self_test.h"

namespace deepmoat::cli {

namespace {

constexpr std::uint64_t kGiB = 1024ULL * 1024 * 1024;
// A time before this program was written is a clock that was never set.
constexpr UnixMillis kClockFloorMs = 1'760'000'000'000;

constexpr rlim_t kLockedBytesWanted = 1024 * 1024;

struct Options {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string model_path;
};

std::string first_line_with(const char* file, const std::string& start) {
  std::ifstream input(file);
  for (std::string line; std::getline(input, line);) {
    if (line.starts_with(start)) {
      const std::size_t colon = line.find(':');
      return colon == std::string::npos ? line
                                        : line.substr(line.find_first_not_of(" \t", colon + 1));
    }
  }
  return "";
}

void check_processor(Report& report) {
  report.line(Verdict::good, "processor",
              fmt::format("{}, {} cores", first_line_with("/proc/cpuinfo", "model name"),
                          std::thread::hardware_concurrency()));
}

void check_memory(Report& report) {
  struct sysinfo facts{};
  ::sysinfo(&facts);
  const std::uint64_t unit = facts.mem_unit;
  const double total = static_cast<double>(facts.totalram * unit) / kGiB;
  report.line(total < 2 ? Verdict::warning : Verdict::good, "memory",
              fmt::format("{:.1f} GiB", total),
              "a model must fit into memory together with its context");
  if (facts.totalswap > 0) {
    report.line(Verdict::warning, "swap",
                fmt::format("{:.1f} GiB", static_cast<double>(facts.totalswap * unit) / kGiB),
                "secrets may reach the disk: turn swap off, or encrypt it");
  } else {
    report.line(Verdict::good, "swap", "none");
  }
}

void check_gpu(Report& report) {
  std::error_code error;
  std::string found;
  for (const auto& [path, name] :
       {std::pair("/dev/nvidia0", "NVIDIA"), std::pair("/dev/kfd", "AMD ROCm"),
        std::pair("/dev/davinci0", "Ascend"), std::pair("/dev/mtgpu.0", "Moore Threads")}) {
    if (std::filesystem::exists(path, error)) {
      found += found.empty() ? name : std::string(", ") + name;
    }
  }
  report.line(Verdict::good, "GPU", found.empty() ? "none; models run on the processor" : found);
}

void check_sandbox(Report& report) {
  constexpr int kLandlockVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
  const long landlock = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kLandlockVersion);
  report.line(
      landlock > 0 ? Verdict::good : Verdict::bad, "Landlock",
      landlock > 0 ? fmt::format("version {}", landlock) : "not offered by this kernel",
      "workers cannot be kept from the file system: use Linux 5.13 or newer with lsm=landlock");
  const bool seccomp = ::prctl(PR_GET_SECCOMP) >= 0;
  report.line(seccomp ? Verdict::good : Verdict::bad, "seccomp",
              seccomp ? "offered" : "not offered by this kernel",
              "workers cannot be kept from system calls: use a kernel with CONFIG_SECCOMP_FILTER");
}

void check_clock(Report& report) {
  timex state{};
  const int status = ::adjtimex(&state);
  const bool sane = SystemClock().unix_ms() > kClockFloorMs;
  if (!sane) {
    report.line(Verdict::bad, "clock", "stands before this program was written",
                "set the clock: keys end by it");
  } else if (status == TIME_ERROR) {
    report.line(Verdict::warning, "clock", "not synchronised",
                "run an NTP client: audit records carry its time");
  } else {
    report.line(Verdict::good, "clock", "synchronised");
  }
}

void check_limits(Report& report) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  report.line(files.rlim_cur < 4096 ? Verdict::warning : Verdict::good, "open files",
              fmt::format("{}", files.rlim_cur),
              "each connection takes one: raise it with ulimit -n 65536");
  rlimit locked{};
  ::getrlimit(RLIMIT_MEMLOCK, &locked);
  report.line(locked.rlim_cur < kLockedBytesWanted ? Verdict::warning : Verdict::good,
              "locked memory", fmt::format("{} KiB", locked.rlim_cur / 1024),
              "secrets may be swapped out: raise it with ulimit -l 1024 (LimitMEMLOCK=1M)");
}

void check_crypto(Report& report) {
  const auto passed = crypto::self_test();
  report.line(passed ? Verdict::good : Verdict::bad, "cryptography",
              passed ? "known-answer tests pass" : passed.error().message,
              "do not use this machine");
}

void check_data(Report& report, const DataFolder& folder) {
  std::error_code error;
  if (!std::filesystem::exists(folder.root(), error)) {
    report.line(Verdict::good, "data folder",
                folder.root().string() + " (made at the first start)");
    return;
  }
  struct stat facts{};
  ::stat(folder.root().c_str(), &facts);
  const bool closed = (facts.st_mode & 0077) == 0;
  report.line(closed ? Verdict::good : Verdict::bad, "data folder", folder.root().string(),
              "others may enter it: chmod 700 " + folder.root().string());
  struct statvfs disk{};
  ::statvfs(folder.root().c_str(), &disk);
  const double free_gib =
      static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize) / kGiB;
  report.line(free_gib < 1 ? Verdict::bad : Verdict::good, "disk",
              fmt::format("{:.1f} GiB free", free_gib),
              "the audit log stops the server when the disk is full: free some space");
}

// The worker itself tries each CPU variant in a process of its own.
void check_variants(Report& report, const std::string& model_path) {
  if (model_path.empty()) {
    report.line(Verdict::good, "CPU variants", "not tried; give --model-path FILE to try them");
    return;
  }
  fmt::print("      trying CPU variants ...\n");
  std::fflush(stdout);
  const std::string command = fmt::format("'{}' --probe --model '{}' 2>/dev/null",
                                          sibling_program("deepmoat-worker"), model_path);
  FILE* output = ::popen(command.c_str(), "r");
  std::string text;
  for (char buffer[512];
       output != nullptr && std::fgets(buffer, sizeof buffer, output) != nullptr;) {
    text += buffer;
  }
  const int status = output != nullptr ? ::pclose(output) : -1;
  report.line(status == 0 ? Verdict::good : Verdict::bad, "CPU variants",
              text.empty() ? "the worker does not run" : text,
              "no variant can run this model: look at the worker's messages with `deepmoat worker "
              "--probe`");
}

int doctor(const Options& options) {
  const auto config = load_config_or_report(options.config);
  if (!config) {
    return kUsage;
  }
  Report report;
  check_processor(report);
  check_memory(report);
  check_gpu(report);
  check_sandbox(report);
  check_clock(report);
  check_limits(report);
  check_crypto(report);
  check_data(report, DataFolder(options.data));
  check_custody(report, DataFolder(options.data), *config);
  check_variants(report, options.model_path);
  return report.finish();
}

}  // namespace

void add_doctor(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("doctor", "Say what this machine offers and what to mend");
  command->add_option("--data", options->data, "The data folder")->capture_default_str();
  command->add_option("--config", options->config, "The configuration file");
  command
      ->add_option("--model-path", options->model_path,
                   "Also try the engine's CPU variants with this model")
      ->check(CLI::ExistingFile);
  command->callback([options, &status] { status = doctor(*options); });
}

}  // namespace deepmoat::cli
