#include "cli/cpu_variants.h"

#include <fstream>
#include <sstream>

#include "base/log.h"

namespace deepmoat::cli {

namespace {

std::string setting_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string model;
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name") || line.starts_with("microcode")) {
      model += line.substr(line.find(':') + 1);
    }
    if (line.empty()) {
      break;  // the first processor stands for all
    }
  }
  return "cpu_variants_avoided:" + model;
}

}  // namespace

Result<std::vector<std::string>> avoided_cpu_variants(store::Database& database) {
  TRY(const std::optional<std::string> stored, database.setting(setting_name()));
  std::vector<std::string> variants;
  std::istringstream words(stored.value_or(""));
  for (std::string word; words >> word;) {
    variants.push_back(word);
  }
  return variants;
}

void avoid_cpu_variant(store::Database& database, const std::string& variant) {
  const auto known = avoided_cpu_variants(database);
  std::string text = variant;
  for (const std::string& other : known.value_or(std::vector<std::string>())) {
    text += " " + other;
  }
  const auto stored = database.set_setting(setting_name(), text);
  if (!stored) {
    log::warn("could not remember a CPU variant that faults", {{"error", stored.error().message}});
  }
}

}  // namespace deepmoat::cli
