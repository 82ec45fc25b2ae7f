// The flags of `deepmoat serve`, and what they do to the configuration.
#pragma once

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

#include "base/config.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

struct ServeOptions {
  std::string data = kDataFolderDefault;
  std::string config;
  std::string model_path;
  std::string model_name;
  std::optional<std::int64_t> https_port;
  std::optional<std::int64_t> http_port;
  std::optional<std::int64_t> max_batch_size;
  std::int64_t tensor_parallel_degree = 1;
  bool insecure_http_beyond_loopback = false;
};

void add_serve_flags(CLI::App& command, ServeOptions& options);

// Reads the file, then puts the flags over it. Empty: problems were printed.
[[nodiscard]] std::optional<Config> effective_config(const ServeOptions& options);

}  // namespace deepmoat::cli
