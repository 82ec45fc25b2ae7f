// A LoRA adapter as configuration and the worker's command line name it: "NAME=FILE" or
// "NAME=FILE:SCALE".
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace deepmoat {

struct AdapterFile {
  std::string name;
  std::filesystem::path file;
  float scale = 1;
};

// Code::invalid_argument when it is not of that form.
[[nodiscard]] Result<AdapterFile> parse_adapter(const std::string& text);

}  // namespace deepmoat
