// links: deepmoat_base
// Any text as a configuration file and as an environment variable: nothing crashes, every problem
// names its place, and a configuration without problems is within its bounds.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "base/config.h"

namespace {

using deepmoat::Config;
using deepmoat::ConfigLoad;
using deepmoat::ConfigProblem;
using deepmoat::parse_config;

void must(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void check(const ConfigLoad& load) {
  for (const ConfigProblem& problem : load.problems) {
    must(!problem.file.empty() && !problem.key.empty() && !problem.message.empty());
    must(problem.text().find(problem.key) != std::string::npos);
  }
  if (!load.problems.empty()) {
    return;
  }
  const Config& config = load.config;
  must(config.server.https_port >= 1 && config.server.https_port <= 65'535);
  must(config.server.http_port >= 0 && config.server.http_port <= 65'535);
  must(config.server.http_port != config.server.https_port);
  must(config.tls.certificate.empty() == config.tls.private_key.empty());
  must(config.keys.lifetime_days >= 1 && config.keys.lifetime_days <= 90);
  for (const auto& model : config.models) {
    must(!model.path.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check(parse_config(text, "fuzz.toml", [](const std::string&) { return std::nullopt; }));
  check(parse_config("", "fuzz.toml",
                     [&](const std::string&) { return std::optional<std::string>(text); }));
  return 0;
}
