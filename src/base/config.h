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
  std::string name;                // what callers write into "model"
  std::string path;                // a GGUF file; empty: the catalogue knows the name
  std::string task = "auto";       // auto, generate, embed or rerank
  std::string pooling;             // of embeddings; empty: the model's own
  std::string load = "start";      // start, or demand: at the first call
  std::int64_t replicas = 1;       // workers with the same model
  std::int64_t idle_unload_s = 0;  // 0: never
  std::int64_t threads = 0;        // 0: one a core
  std::int64_t cells = 0;  // tokens of context that all calls share; 0: chosen by the worker
  std::int64_t max_batch_size = 128;
  std::int64_t step_tokens = 0;     // rows of a scheduler step at most; 0: chosen by the worker
  std::int64_t inter_token_ms = 0;  // time of a step while answers run; 0: chosen by the worker
  std::string layout = "auto";      // of the KV memory: auto, unified or streams
  std::int64_t spill_mib =
      -1;  // host memory for prefixes and checkpoints; -1: chosen by the worker
  std::vector<std::string> adapters;         // "NAME=FILE[:SCALE]", or a name of the catalogue
  std::vector<std::string> public_prefixes;  // text files whose start all tenants may share
  double default_temperature = -1;           // when the caller names none; below 0: none
  double default_top_p = -1;                 // likewise
  std::int64_t default_max_tokens = 0;       // likewise; 0: none
  std::string cpu_variant = "auto";

  bool operator==(const ModelConfig&) const = default;
};

// What one tenant may take of the models; `[[tenant]]` in the file. Others have the defaults.
struct TenantConfig {
  std::string name;             // as in `deepmoat key create --tenant`
  double weight = 1;            // its share beside other tenants
  std::int64_t priority = 1;    // class; 0 goes before 1, whatever the weights
  std::int64_t queue_max = 0;   // calls that may wait for one model; 0: limits.queue_per_tenant
  std::int64_t wait_s_max = 0;  // 0: limits.wait_s_max

  bool operator==(const TenantConfig&) const = default;
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
  struct Sessions {
    std::int64_t idle_minutes = 15;
    std::int64_t hours = 8;
  } sessions;
  struct Custody {
    std::string kind = "file";  // file or pkcs11
    std::string module;         // the PKCS#11 library
    std::string token_label;
    std::string key_label = "deepmoat";
    std::string pin_file;                      // never the PIN itself
    std::string gcm_layout = "auto";           // auto, with_iv_bits, without_iv_bits
    std::string field_cipher = "aes-256-gcm";  // or sm4-gcm
    std::int64_t grace_hours = 24;
  } custody;
  struct Limits {
    std::int64_t requests_per_minute = 0;
    std::int64_t tokens_per_minute = 0;
    std::int64_t concurrent_calls_per_key = 0;
    std::int64_t concurrent_calls = 2'048;
    std::int64_t authentication_failures_per_minute = 20;
    std::int64_t queue_per_tenant = 128;  // calls that wait for one worker
    std::int64_t queue_total = 256;
    std::int64_t wait_s_max = 0;  // a call that waits longer is refused; 0: no limit
  } limits;
  struct Memory {
    std::int64_t budget_mib = 0;  // 0: 90 % of the machine's
  } memory;
  struct Metrics {
    bool vllm_names = true;
    bool open_on_loopback = false;
  } metrics;
  struct Webhooks {
    std::string ca_file;  // PEM; empty: the system's authorities
    bool tenants_reach_private_networks = false;
  } webhooks;
  struct Audit {
    std::int64_t segment_mib = 64;
    std::string origin;  // empty: made of the installation's id
    bool sm = false;
    std::vector<std::string> checkpoint_places;
    std::string node_key_file;  // never the key itself
    std::string node_ca_file;
    std::vector<std::string> witness_keys;
    std::int64_t keep_days = 190;
    std::int64_t keep_personal_days = 1096;
    std::int64_t keep_medical_days = 2192;
    std::vector<std::string> medical_tenants;
  } audit;
  struct Approval {
    bool two_persons = false;
    std::int64_t hours = 24;
  } approval;
  std::vector<ModelConfig> models;
  std::vector<TenantConfig> tenants;

  // The tenant's own settings, or the defaults under its name.
  [[nodiscard]] TenantConfig tenant(const std::string& name) const;
};

// One key of the file.
struct ConfigKey {
  std::string section;  // "server", or "model" for each [[model]]
  std::string name;
  std::string type;         // "integer", "number", "boolean", "text", "list of text"
  std::string fallback;     // the default as TOML
  std::string meaning;      // a sentence for a person
  std::string bounds;       // e.g. "1 to 65535"; empty: none
  bool reloadable = false;  // SIGHUP applies it without a restart
  bool repeated = false;    // its section is a [[list]]: many of it, and no environment variable
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
