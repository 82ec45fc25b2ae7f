// `deepmoat model status|load|unload|swap`: asks a running server about its models, and to change
// them.
#pragma once

#include <CLI/CLI.hpp>

namespace deepmoat::cli {

// Adds the subcommands to `deepmoat model`.
void add_model_control(CLI::App& model, int& status);

}  // namespace deepmoat::cli
