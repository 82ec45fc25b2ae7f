// The server's configuration: one TOML file, environment variables over it, flags over those.
// One table (config_keys.cc) holds every key with its type, bounds, default and explanation;
// parsing, `deepmoat config check`, `config example` and docs/configuration.md all come from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace deepmoat {

// One local model; `[[model]]` in the file, or --model-path.
struct ModelConfig {
  std::string name;          // what callers write into "model"
  std::string path;          // a GGUF file
  std::int64_t threads = 0;  // 0: one a core
  std::int64_t cells = 0;    // tokens of context that all calls share; 0: chosen by the worker
  std::int64_t max_batch_size = 128;
  std::int64_t step_tokens = 0;  // token budget of a scheduler step; 0: chosen by the worker
  std::string cpu_variant = "auto";
};

struct Config {
  struct Server {
    std::string https_address = "0.0.0.0";
    std::int64_t https_port = 8443;
    std::string http_address = "127.0.0.1";
    std::int64_t http_port = 8080;
    bool insecure_http_beyond_loopback = false;
    std::int64_t threads = 0;
    std::int64_t body_bytes_max = 8 * 1024 * 1024;
    std::int64_t connections_max = 20'000;
    std::int64_t connections_per_address_max = 2'000;
    std::int64_t idle_timeout_s = 75;
    std::int64_t request_timeout_s = 30;
    std::int64_t keep_alive_s = 15;
    std::int64_t drain_timeout_s = 30;
  } server;
  struct Tls {
    std::string certificate;
    std::string private_key;
    std::vector<std::string> names;
  } tls;
  struct Log {
    std::string level = "info";
  } log;
  struct Keys {
    std::int64_t lifetime_days = 90;
    bool accept_bare_hex = false;
    std::string passphrase_file;
  } keys;
  struct Limits {
    std::int64_t requests_per_minute = 0;
    std::int64_t concurrent_calls_per_key = 0;
    std::int64_t concurrent_calls = 2'048;
    std::int64_t authentication_failures_per_minute = 20;
  } limits;
  struct Audit {
    std::int64_t segment_mib = 64;
  } audit;
  std::vector<ModelConfig> models;
};

// One key of the file.
struct ConfigKey {
  std::string section;  // "server", or "model" for each [[model]]
  std::string name;
  std::string type;         // "integer", "boolean", "text", "list of text"
  std::string fallback;     // the default as TOML
  std::string meaning;      // a sentence for a person
  std::string bounds;       // e.g. "1 to 65535"; empty: none
  bool reloadable = false;  // SIGHUP applies it without a restart
};

// A finding of the check: where, which key, what is wrong, how to mend it.
struct ConfigProblem {
  std::string file;
  std::uint32_t line = 0;  // 0: not tied to a line (an environment variable)
  std::string key;
  std::string message;

  [[nodiscard]] std::string text() const;
};

struct ConfigLoad {
  Config config;
  std::vector<ConfigProblem> problems;  // empty: the configuration may be used
};

// Looks up an environment variable; a parameter so that tests need not change the process.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string&)>;
[[nodiscard]] EnvironmentLookup process_environment();

// Reads `text` (named `file` in findings) and then DEEPMOAT_<SECTION>_<KEY> of the environment.
// Reports every problem, not only the first.
[[nodiscard]] ConfigLoad parse_config(std::string_view text, const std::string& file,
                                      const EnvironmentLookup& environment);

// The same for a file; a path that does not exist is a problem, an empty path means "no file".
[[nodiscard]] ConfigLoad load_config(const std::filesystem::path& path,
                                     const EnvironmentLookup& environment);

// Every key, in the order of the example file.
[[nodiscard]] const std::vector<ConfigKey>& config_keys();

// A commented file with every key at its default.
[[nodiscard]] std::string config_example();

// docs/configuration.md; a test holds the file to it.
[[nodiscard]] std::string config_markdown();

}  // namespace deepmoat
