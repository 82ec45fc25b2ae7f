// `deepmoat model import`: from a file or folder to a version in the catalog.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/config.h"
#include "base/result.h"
#include "cli/data_folder.h"

namespace deepmoat::cli {

struct ImportOptions {
  std::filesystem::path source;   // a GGUF file, the first of several parts, or a folder
  std::string name;               // empty: from the source's name
  std::string quantise = "auto";  // auto, none, or a type
  std::vector<std::string> candidates{"Q8_0", "Q4_K_M", "Q4_0"};  // of auto, beside the source
  double quality_limit_percent = 3;
  bool allow_requantise = false;
  bool adapter = false;
  std::string base;            // of an adapter
  std::filesystem::path text;  // to measure with; empty: the built-in one
  std::uint32_t threads = 0;
  std::uint32_t rounds = 3;
  bool json = false;  // nothing but the answer on standard output
};

// The entry as the catalog shows it, with "already_there": true when an earlier import brought the
// same. Shows progress on standard error and the table of `auto` on standard output.
[[nodiscard]] Result<nlohmann::ordered_json> import_model(const ImportOptions& options,
                                                          const DataFolder& folder,
                                                          const Config& config, const Clock& clock);

// What a table of candidates calls best: least time for 512 tokens in and 128 out among those whose
// perplexity is at most `limit_percent` over the first's, which is the source. -1: none (the table
// is empty). Each has "prompt_tokens_s", "output_tokens_s", "perplexity"; this sets
// "perplexity_change_percent", "seconds" and "within_limit".
[[nodiscard]] int choose_candidate(nlohmann::ordered_json& candidates, double limit_percent);

}  // namespace deepmoat::cli
