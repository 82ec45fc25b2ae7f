// For tests: tiny models with random weights (tests/models), made when they are first asked for.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace deepmoat::tests {

// The demo model, which ./test names; empty: nobody named one.
inline std::string demo_model() {
  const char* file = std::getenv("DEEPMOAT_MODEL");
  return file == nullptr ? "" : file;
}

// The model's file, with the demo model's tokenizer; empty: it could not be made.
inline std::string tiny_model(const std::string& name) {
  const std::string command = std::string("python3 -B '") + DEEPMOAT_TINY_MODELS_SCRIPT +
                              "' --demo '" + demo_model() + "' --out '" + DEEPMOAT_TINY_MODELS_DIR +
                              "' " + name;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    return "";
  }
  std::array<char, 512> line{};
  const bool read = std::fgets(line.data(), line.size(), pipe) != nullptr;
  const bool made = ::pclose(pipe) == 0;
  std::string path = read && made ? line.data() : "";
  while (path.ends_with('\n')) {
    path.pop_back();
  }
  return path;
}

}  // namespace deepmoat::tests
