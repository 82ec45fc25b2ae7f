#include "worker/probe.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/backends.h"

namespace deepmoat::worker {

namespace {

std::string try_variant(const Options& options, const std::string& name) {
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string model = options.model.string();
    const std::string engine_dir = options.engine_dir.string();
    ::execl("/proc/self/exe", "deepmoat-worker", "--self-test", "--model", model.c_str(),
            "--engine-dir", engine_dir.c_str(), "--cpu-variant", name.c_str(), "--cells", "512",
            "--max-batch-size", "4", static_cast<char*>(nullptr));
    ::_exit(kExitFailed);
  }
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == kExitDone) {
    return "works";
  }
  return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == kExitIllegal
             ? "illegal_instruction"
             : "failed";
}

}  // namespace

int probe(const Options& options) {
  const auto variants = engine::rank_cpu_variants(options.engine_dir);
  if (!variants) {
    fmt::print(stderr, "{}\n", variants.error().message);
    return kExitFailed;
  }
  nlohmann::json report;
  report["cpu_variant"] = nullptr;
  report["variants"] = nlohmann::json::array();
  for (const engine::CpuVariant& variant : *variants) {
    std::string result = variant.score == 0 ? "unsupported" : "not_tried";
    if (variant.score > 0 && report["cpu_variant"].is_null()) {
      result = try_variant(options, variant.name);
      if (result == "works") {
        report["cpu_variant"] = variant.name;
      }
    }
    report["variants"].push_back(
        {{"name", variant.name}, {"score", variant.score}, {"result", result}});
  }
  fmt::print("{}\n", report.dump());
  return report["cpu_variant"].is_null() ? kExitFailed : kExitDone;
}

}  // namespace deepmoat::worker
