#include "cli/serve_options.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "cli/command.h"

namespace deepmoat::cli {

void add_serve_flags(CLI::App& command, ServeOptions& options) {
  command.add_option("--data", options.data, "The data folder; made at the first start")
      ->capture_default_str();
  command.add_option("--config", options.config,
                     "The configuration file (`deepmoat config example` prints one)");
  command.add_option("--model-path", options.model_path, "Serve this GGUF file")
      ->check(CLI::ExistingFile);
  command.add_option("--model-name", options.model_name,
                     "Its name for callers; default: the file's name");
  command.add_option("--port", options.https_port, "Port of HTTPS (8443)")
      ->check(CLI::Range(1, 65535));
  command
      .add_option("--http-port", options.http_port, "Port of plain HTTP on loopback (8080); 0: off")
      ->check(CLI::Range(0, 65535));
  command.add_option("--max-batch-size", options.max_batch_size, "Most calls in one batch (128)")
      ->check(CLI::Range(1, 4096));
  command
      .add_option("--tensor-parallel-degree", options.tensor_parallel_degree,
                  "Devices over which one model is split; this version runs on 1")
      ->capture_default_str();
  command.add_flag("--insecure-http-beyond-loopback", options.insecure_http_beyond_loopback,
                   "Let plain HTTP listen on every address: keys and prompts then cross the "
                   "network unencrypted");
}

namespace {

std::string absolute_path(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

// The process may change its folder.
void make_absolute(ModelConfig& model) {
  if (!model.path.empty()) {
    model.path = absolute_path(model.path);
  }
  for (std::string& prefix : model.public_prefixes) {
    prefix = absolute_path(prefix);
  }
  for (std::string& adapter : model.adapters) {
    const std::size_t equals = adapter.find('=');
    if (equals != std::string::npos) {
      adapter = adapter.substr(0, equals + 1) + absolute_path(adapter.substr(equals + 1));
    }
  }
}

void apply_model_flags(const ServeOptions& options, Config& config) {
  if (!options.model_path.empty()) {
    ModelConfig model;
    model.path = options.model_path;
    model.name = options.model_name.empty()
                     ? std::filesystem::path(options.model_path).stem().string()
                     : options.model_name;
    std::erase_if(config.models,
                  [&](const ModelConfig& other) { return other.name == model.name; });
    config.models.insert(config.models.begin(), std::move(model));
  }
  for (ModelConfig& model : config.models) {
    model.max_batch_size = options.max_batch_size.value_or(model.max_batch_size);
    make_absolute(model);
  }
}

}  // namespace

std::optional<Config> effective_config(const ServeOptions& options) {
  auto config = load_config_or_report(options.config);
  if (!config) {
    return std::nullopt;
  }
  if (options.tensor_parallel_degree != 1) {
    fmt::print(stderr,
               "deepmoat: --tensor-parallel-degree {} is not supported: this version runs a model "
               "on 1 device\n",
               options.tensor_parallel_degree);
    return std::nullopt;
  }
  config->server.https_port = options.https_port.value_or(config->server.https_port);
  config->server.http_port = options.http_port.value_or(config->server.http_port);
  if (options.insecure_http_beyond_loopback) {
    config->server.insecure_http_beyond_loopback = true;
    config->server.http_address = "0.0.0.0";
  }
  if (config->server.http_port == config->server.https_port) {
    fmt::print(stderr, "deepmoat: --http-port and --port are both {}; choose another\n",
               config->server.https_port);
    return std::nullopt;
  }
  apply_model_flags(options, *config);
  return config;
}

}  // namespace deepmoat::cli
