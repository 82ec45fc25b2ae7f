// Which model is it? The SHA-256 of its file, remembered in the database by size and time.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "catalog/catalog.h"
#include "store/database.h"

namespace deepmoat::cli {

struct ModelFile {
  std::string version;         // first 16 hex digits of the SHA-256
  std::string sha256;          // all 64
  std::int64_t created_s = 0;  // the file's time of change
  std::uint64_t bytes = 0;
};

// Where hashes are remembered: the database's settings.
struct Settings {
  std::function<Result<std::optional<std::string>>(const std::string& name)> get;
  std::function<Result<>(const std::string& name, const std::string& value)> set;
};

// Reads the whole file the first time (about a second a gigabyte, much more from a slow disk);
// later only its size and time. Code::cancelled soon after `stop` was asked for.
[[nodiscard]] Result<ModelFile> identify_model(const std::filesystem::path& path,
                                               const Settings& settings,
                                               const std::stop_token& stop);

// The same for an imported version. Code::corrupt when its file is not the one that was imported.
[[nodiscard]] Result<ModelFile> identify_imported(const catalog::Entry& entry,
                                                  const Settings& settings,
                                                  const std::stop_token& stop);

}  // namespace deepmoat::cli
